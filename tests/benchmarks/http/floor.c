/* The floor of what a server can cost: an epoll loop that answers fixed bytes without parsing.
 *
 *     floor --port 8000 --answer FILE --request-size N [--core 0]
 *
 * Level-triggered epoll, one read and one write for what is ready on a connection, one thread. It
 * answers once for every N bytes it has read, whatever they are. With port 0 the system chooses one;
 * the first line of the output is the port.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 64 * 1024, MOST = 1024 };

static uint8_t buffer[BUFFER], answer[BUFFER], *answers;
static size_t answer_size, request_size;

static void
fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Returns 0 when the connection is over. `rest` is how much of a request has been read before. */
static int
serve(int fd, uint32_t *rest)
{
    ssize_t got = recv(fd, buffer, BUFFER, 0);
    if (got < 0)
        return errno == EAGAIN;
    if (got == 0)
        return 0;
    size_t have = *rest + (size_t)got, count = have / request_size;
    *rest = (uint32_t)(have % request_size);
    while (count) {
        size_t most = count < MOST ? count : MOST;
        const uint8_t *at = answers;
        for (size_t left = most * answer_size; left;) {
            ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);
            if (sent < 0)
                return 0; /* the generator reads what it asked for: a full buffer is an end */
            at += sent;
            left -= (size_t)sent;
        }
        count -= most;
    }
    return 1;
}

int
main(int argc, char **argv)
{
    int port = 0, yes = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port")) {
            port = atoi(argv[i + 1]);
        } else if (!strcmp(argv[i], "--request-size")) {
            request_size = (size_t)atol(argv[i + 1]);
        } else if (!strcmp(argv[i], "--answer")) {
            FILE *file = fopen(argv[i + 1], "rb");
            if (!file)
                fail(argv[i + 1]);
            answer_size = fread(answer, 1, sizeof answer, file);
            fclose(file);
        } else if (!strcmp(argv[i], "--core")) {
            cpu_set_t cores;
            CPU_ZERO(&cores);
            CPU_SET((size_t)atoi(argv[i + 1]), &cores);
            if (sched_setaffinity(0, sizeof cores, &cores))
                fail("core");
        }
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        fail("files");
    uint32_t *rests = calloc(files.rlim_cur, sizeof *rests);
    answers = malloc(answer_size * MOST);
    if (!answer_size || !request_size || !answers || !rests) {
        fputs("floor: --answer and --request-size are needed\n", stderr);
        return 1;
    }
    for (int i = 0; i < MOST; i++)
        memcpy(answers + (size_t)i * answer_size, answer, answer_size);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)
        || getsockname(listener, (struct sockaddr *)&address, &size))
        fail("listening");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[EVENTS];
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event))
        fail("epoll");
    for (;;) {
        int count = epoll_wait(poller, ready, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd != listener) {
                if (!serve(fd, rests + fd))
                    close(fd);
                continue;
            }
            int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (accepted < 0)
                continue;
            setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            rests[accepted] = 0;
            event.data.fd = accepted;
            if (epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event))
                fail("epoll_ctl");
        }
    }
}
