/* How long reading a head takes, for each instruction set compiled in.
 *
 *     cd native/engine
 *     gcc -std=c11 -O2 -Icsrc tests/c/bench_head.c csrc/head.c csrc/scan.c -o bench
 *     taskset -c 1 ./bench
 *
 * -DCV_NO_AVX2 and -DCV_NO_SIMD give the slower ones. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "head.h"

static const char small[] = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
static const char load[] = "GET /books/17?page=2 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
static const char post[] = "POST /books HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: wrk\r\n"
                           "Content-Type: application/json\r\nContent-Length: 1024\r\n\r\n";
static const char browser[] =
    "GET /books/17?page=2 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.com/books\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Cache-Control: max-age=0\r\n"
    "\r\n";

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void run(const char *name, const char *text, size_t size, int rounds)
{
    enum { TIMES = 200000 };
    static const cv_head_limits limits = {.max_size = 16384, .max_fields = 100};
    static uint8_t bytes[4096];
    double best = 1e18, copying = 1e18;
    for (int round = 0; round < rounds; round++) {
        double start = now();
        for (int i = 0; i < TIMES; i++) {
            cv_head head;
            cv_head_progress progress = {0};
            memcpy(bytes, text, size); /* with its capitals again */
            if (cv_head_read(bytes, size, &limits, &progress, &head) != 1)
                printf("refused\n");
        }
        double took = (now() - start) / TIMES;
        best = took < best ? took : best;
        start = now();
        for (int i = 0; i < TIMES; i++) {
            memcpy(bytes, text, size);
            __asm__ volatile("" ::"r"(bytes) : "memory");
        }
        took = (now() - start) / TIMES;
        copying = took < copying ? took : copying;
    }
    printf("%-8s %4zu bytes %6.1f ns\n", name, size, best - copying);
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 15; /* the best of so many */
    run("small", small, sizeof small - 1, rounds);
    run("load", load, sizeof load - 1, rounds);
    run("post", post, sizeof post - 1, rounds);
    run("browser", browser, sizeof browser - 1, rounds);
    return 0;
}
