/* Files of folders: what is opened, what is sent, and what becomes of it when others change the files. */
#define _GNU_SOURCE
#include "engine_sockets.h"

#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "file_beneath.h"

enum { LARGE = 3000000, ROUTE_FILE = 1 };

static char root[] = "/tmp/covet-files-XXXXXX";
static char large[LARGE + 1];

/* Paths below the folder that is served, and beside it. */
static const char *at(const char *name)
{
    static char path[8][512];
    static int next;
    char *into = path[next++ % 8];
    snprintf(into, sizeof path[0], "%s/%s", root, name);
    return into;
}

static void write_file(const char *name, const char *bytes, size_t size)
{
    FILE *file = fopen(at(name), "w");
    CHECK(file != NULL);
    CHECK(fwrite(bytes, 1, size, file) == size);
    fclose(file);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

static cv_routes *folder_routes(void)
{
    cv_routes *routes = cv_routes_new();
    int missing = cv_routes_add_answer(routes, 404, "", 0, "none", 4, NULL, 0);
    int failed = cv_routes_add_answer(routes, 412, "", 0, "failed", 6, NULL, 0);
    int busy = cv_routes_add_answer(routes, 503, "", 0, "busy", 4, NULL, 0);
    cv_folder_options folder = {
        .path = at("served"), .index = "index.html", .fallback = "", .cache = "", .page_cache = "",
        .fields = "x-common: 1\r\n", .fields_size = 13, .missing = missing, .failed = failed,
        .busy = busy, .precompressed = 1, .queries = 1,
    };
    CHECK(cv_routes_add_type(routes, "", "application/octet-stream") == 0);
    CHECK(cv_routes_add_type(routes, ".txt", "text/plain") == 0);
    int number = cv_routes_add_folder(routes, &folder);
    CHECK(number == 0);
    int leaf = cv_routes_add_path(routes, "/files/{}", 9, "p");
    CHECK(cv_routes_set_folder(routes, leaf, "GET", number, ROUTE_FILE) == 0);
    leaf = cv_routes_add_path(routes, "/items/{}", 9, "i");
    cv_routes_set_route(routes, leaf, "GET", ROUTE_ITEM, 0);
    leaf = cv_routes_add_path(routes, "/hello", 6, "");
    cv_routes_set_answer(routes, leaf, "GET",
                         cv_routes_add_answer(routes, 200, "", 0, "hello", 5, NULL, 0));
    return routes;
}

static void start_files(void)
{
    uint64_t size;
    engine = cv_engine_new(&options);
    CHECK(engine != NULL);
    events = cv_engine_events(engine);
    arena = cv_engine_arena(engine, &size);
    count = 0;
    cv_engine_begin(engine, folder_routes());
}

static void start_default_files(void)
{
    default_options();
    start_files();
}

static int open_descriptors(void)
{
    int found = 0;
    for (int fd = 0; fd < 1024; fd++)
        found += fcntl(fd, F_GETFD) >= 0;
    return found;
}

/* Opening */

static int reads(int (*opens)(int, const char *), int folder, const char *name, const char *text)
{
    char found[64] = "";
    int fd = opens(folder, name);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, found, sizeof found - 1);
    close(fd);
    return size >= 0 && strcmp(found, text) == 0;
}

static void only_what_is_beneath_is_opened(int (*opens)(int, const char *))
{
    int folder = cv_folder_open(at("served"));
    CHECK(folder >= 0);
    CHECK(reads(opens, folder, "small.txt", "small"));
    CHECK(reads(opens, folder, "deep/er/x.txt", "deep"));
    static const char *const never[] = {"link.txt", "linked/secret.txt", "inner.txt", "none",
                                        "small.txt/x", "deep/none", "none/x.txt"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        errno = 0;
        CHECK(opens(folder, never[i]) < 0);
        CHECK(cv_beneath_is_missing(errno));
    }
    int fd = opens(folder, "pipe"); /* returns at once */
    CHECK(fd >= 0);
    close(fd);
    char segment[300];
    memset(segment, 'n', sizeof segment);
    segment[299] = 0;
    CHECK(opens(folder, segment) < 0 && errno == ENAMETOOLONG);
    close(folder);
}

static atomic_int over;

/* Exchange a folder for a link that leads out, over and over. */
static void *swap(void *nothing)
{
    char real[512], link[512], spare[512];
    snprintf(real, sizeof real, "%s/served/swap", root);
    snprintf(link, sizeof link, "%s/served/swap-link", root);
    snprintf(spare, sizeof spare, "%s/served/swap-spare", root);
    while (!atomic_load(&over)) {
        rename(real, spare);
        rename(link, real);
        rename(real, link);
        rename(spare, real);
    }
    return nothing;
}

static void no_race_leads_out(void)
{
    pthread_t swapper;
    atomic_store(&over, 0);
    mkdir(at("served/swap"), 0700);
    write_text("served/swap/secret.txt", "inside");
    CHECK(symlink(at("beside"), at("served/swap-link")) == 0);
    int folder = cv_folder_open(at("served"));
    CHECK(pthread_create(&swapper, NULL, swap, NULL) == 0);
    for (int i = 0; i < 4000; i++) {
        CHECK(!reads(cv_beneath_open, folder, "swap/secret.txt", "secret"));
        CHECK(!reads(cv_beneath_open_by_steps, folder, "swap/secret.txt", "secret"));
    }
    atomic_store(&over, 1);
    pthread_join(swapper, NULL);
    close(folder);
}

/* Sending */

static void files_are_answers(void)
{
    start_default_files();
    client c = connect_client();
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 200 OK\r\nx-common: 1\r\n"));
    CHECK(strstr(c.out, "content-type: text/plain\r\n") && ends(c.out, "\r\n\r\nsmall"));
    forget(&c);
    feed(&c, GET("/files/link.txt") GET("/files/pipe") GET("/files/deep/../small.txt"));
    CHECK(times(drain(&c), "HTTP/1.1 404 Not Found\r\n") == 3);
    CHECK(counters()->native == 4);
    CHECK(counters()->files == 1); /* kept */
    leave(&c);
    finish();
}

static void ranges_come_in_parts(void)
{
    start_default_files();
    client c = connect_client();
    feed(&c, "GET /files/large.bin HTTP/1.1\r\nhost: a\r\nrange: bytes=-1,0-99999,5-6\r\n\r\n");
    drain(&c);
    CHECK(starts(c.out, "HTTP/1.1 206 "));
    char *length = strstr(c.out, "content-length: "), *body = strstr(c.out, "\r\n\r\n");
    CHECK(length && body);
    size_t head = (size_t)(body + 4 - c.out);
    CHECK(c.size - head == (size_t)atoi(length + 16));
    CHECK(times(body, "content-range: bytes 0-99999/3000000\r\n") == 1);
    CHECK(times(body, "content-range: bytes 2999999-2999999/3000000\r\n") == 1);
    CHECK(strstr(strstr(body, "0-99999/"), "\r\n\r\n") != NULL);
    CHECK(memcmp(strstr(strstr(body, "0-99999/"), "\r\n\r\n") + 4, large, 100000) == 0);
    CHECK(ends(c.out, "--\r\n"));
    leave(&c);
    finish();
}

static void what_is_replaced_is_sent_as_it_was(void)
{
    start_default_files();
    write_file("served/changing.bin", large, LARGE);
    client c = connect_client(), other = connect_client();
    feed(&c, GET("/files/changing.bin"));
    drain_some(&c, 100000);
    write_text("served/new", "new");
    CHECK(rename(at("served/new"), at("served/changing.bin")) == 0);
    feed(&other, GET("/files/changing.bin"));
    CHECK(ends(drain(&other), "\r\n\r\nnew"));
    drain(&c);
    CHECK(c.size > LARGE && memcmp(c.out + c.size - LARGE, large, LARGE) == 0);
    leave(&c);
    leave(&other);
    finish();
}

static void what_grows_has_the_length_it_had(void)
{
    start_default_files();
    write_file("served/changing.bin", large, LARGE);
    client c = connect_client();
    feed(&c, GET("/files/changing.bin"));
    drain_some(&c, 100000);
    FILE *file = fopen(at("served/changing.bin"), "a");
    fwrite(large, 1, 1000, file);
    fclose(file);
    feed(&c, GET("/files/small.txt")); /* behind it, and where it belongs */
    for (int i = 0; i < 4; i++) {
        drain(&c);
        poll_engine();
    }
    CHECK(strstr(c.out, "content-length: 3000000\r\n"));
    CHECK(ends(c.out, "\r\n\r\nsmall"));
    CHECK(times(c.out, "HTTP/1.1 200") == 2);
    leave(&c);
    finish();
}

static void what_is_cut_short_ends_the_connection(void)
{
    start_default_files();
    write_file("served/changing.bin", large, LARGE);
    client c = connect_client();
    feed(&c, GET("/files/changing.bin"));
    drain_some(&c, 100000);
    CHECK(truncate(at("served/changing.bin"), 200000) == 0);
    drain(&c);
    drain(&c);
    CHECK(c.closed && c.size < 300000);
    CHECK(counters()->aborted == 1);
    leave(&c);
    finish();
}

static void a_client_that_does_not_read_is_cut(void)
{
    start_default_files();
    client c = connect_client();
    feed(&c, GET("/files/large.bin"));
    drain_some(&c, 100000);
    cv_engine_advance(engine, 29);
    drain_some(&c, 10);
    cv_engine_advance(engine, 29);
    CHECK(counters()->connections == 1);
    cv_engine_advance(engine, 2);
    CHECK(counters()->connections == 0 && counters()->write_timeouts == 1);
    free(c.out);
    finish();
}

static void there_are_only_so_many(void)
{
    default_options();
    options.max_files = 2;
    start_files();
    write_file("served/two.bin", large, LARGE);
    client one = connect_client(), two = connect_client(), c = connect_client();
    feed(&one, GET("/files/large.bin"));
    feed(&two, GET("/files/two.bin"));
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 503 ") && ends(c.out, "busy"));
    CHECK(counters()->files == 2);
    forget(&c);
    feed(&c, GET("/files/large.bin")); /* it is open */
    CHECK(starts(drain(&c), "HTTP/1.1 200 "));
    forget(&c);
    leave(&one);
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 200 "));
    leave(&two);
    leave(&c);
    finish();
}

static void without_descriptors_there_is_an_answer(void)
{
    struct rlimit before, few;
    start_default_files();
    client c = connect_client();
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 200 "));
    forget(&c);
    getrlimit(RLIMIT_NOFILE, &before);
    int next = dup(0);
    close(next);
    few = (struct rlimit){(rlim_t)next, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    /* What nobody sends is closed to make room. */
    feed(&c, GET("/files/deep/er/x.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 200 "));
    forget(&c);
    client holds = connect_client();
    feed(&holds, GET("/files/large.bin"));
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 503 "));
    setrlimit(RLIMIT_NOFILE, &before);
    forget(&c);
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 200 "));
    leave(&holds);
    leave(&c);
    finish();
}

static void few_are_kept(void)
{
    start_default_files();
    client c = connect_client();
    for (int i = 0; i < 300; i++) {
        char name[64], asks[128];
        snprintf(name, sizeof name, "served/many-%d.txt", i);
        write_text(name, "one of many");
        snprintf(asks, sizeof asks, "GET /files/many-%d.txt HTTP/1.1\r\nhost: a\r\n\r\n", i);
        feed(&c, asks);
        CHECK(ends(drain(&c), "one of many"));
        forget(&c);
    }
    CHECK(counters()->files == 128);
    cv_engine_begin(engine, folder_routes());
    CHECK(counters()->files == 0);
    leave(&c);
    finish();
}

static void a_folder_may_be_switched(void)
{
    start_default_files();
    client c = connect_client();
    feed(&c, GET("/files/small.txt"));
    CHECK(ends(drain(&c), "small"));
    forget(&c);
    CHECK(rename(at("served"), at("first")) == 0);
    mkdir(at("second"), 0700);
    write_text("second/small.txt", "second");
    CHECK(symlink(at("second"), at("served")) == 0);
    feed(&c, GET("/files/small.txt"));
    CHECK(ends(drain(&c), "second"));
    forget(&c);
    unlink(at("served"));
    feed(&c, GET("/files/small.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 404 "));
    CHECK(rename(at("first"), at("served")) == 0);
    leave(&c);
    finish();
}

static void what_becomes_a_link_is_gone_a_second_later(void)
{
    start_default_files();
    mkdir(at("served/moving"), 0700);
    write_text("served/moving/x.txt", "moving");
    client c = connect_client();
    feed(&c, GET("/files/moving/x.txt"));
    CHECK(ends(drain(&c), "moving"));
    CHECK(rename(at("served/moving"), at("moved")) == 0);
    CHECK(symlink(at("moved"), at("served/moving")) == 0);
    cv_engine_advance(engine, 1.1);
    forget(&c);
    feed(&c, GET("/files/moving/x.txt"));
    CHECK(starts(drain(&c), "HTTP/1.1 404 "));
    leave(&c);
    finish();
}

/* From Python */

static int opened(const char *name)
{
    int fd = open(at(name), O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void part(uint64_t handle, const char *name, uint64_t from, uint64_t size)
{
    cv_file_part given = {.fd = opened(name), .at = from, .size = size};
    CHECK(submit(handle, CV_FILE, 0, 0, &given, sizeof given) == 0);
}

static void python_sends_files(void)
{
    int before = open_descriptors();
    start_default_files();
    client c = connect_client();
    feed(&c, GET("/items/1") GET("/items/2"));
    poll_engine();
    uint64_t first = events[0].handle, second = events[1].handle;
    reply(second, 200, CV_MORE, "content-length: 100003\r\n", "");
    part(second, "served/large.bin", 7, 100000);
    chunk(second, "end", 0);
    CHECK(*drain(&c) == 0); /* its turn has not come */
    reply(first, 200, CV_MORE, "", "begin");
    part(first, "served/small.txt", 0, 5);
    part(first, "served/large.bin", 0, 0);
    chunk(first, "", 0);
    drain(&c);
    const char *two = strstr(c.out + 1, "HTTP/1.1 200");
    CHECK(two && strstr(c.out, "5\r\nbegin\r\n5\r\nsmall\r\n0\r\n\r\nHTTP/1.1 200") != NULL);
    two = strstr(two, "\r\n\r\n") + 4;
    CHECK(memcmp(two, large + 7, 100000) == 0 && strcmp(two + 100000, "end") == 0);
    leave(&c);
    finish();
    CHECK(open_descriptors() == before);
}

static void what_python_hands_over_is_closed(void)
{
    int before = open_descriptors();
    start_default_files();
    client c = connect_client();
    feed(&c, GET("/items/1"));
    uint64_t handle = request();
    part(handle, "served/small.txt", 0, 5); /* nothing has begun */
    CHECK(counters()->stale == 1);
    reply(handle, 200, CV_MORE, "content-length: 3\r\n", "");
    part(handle, "served/small.txt", 0, 5); /* more than was promised */
    CHECK(counters()->aborted == 1);
    part(handle, "served/small.txt", 0, 5); /* and it is over */
    CHECK(counters()->stale == 2);
    leave(&c);
    c = connect_client();
    feed(&c, GET("/items/1"));
    handle = request();
    reply(handle, 200, CV_MORE, "content-length: 5\r\n", "");
    leave(&c);
    part(handle, "served/small.txt", 0, 5); /* its client has left */
    chunk(handle, "", 0);
    CHECK(submit(handle, CV_FILE, 0, 0, "short", 5) == 0);
    c = connect_client();
    feed(&c, "HEAD /items/1 HTTP/1.1\r\nhost: a\r\n\r\n");
    handle = request();
    reply(handle, 200, CV_MORE, "content-length: 5\r\n", "");
    part(handle, "served/small.txt", 0, 5);
    chunk(handle, "", 0);
    CHECK(ends(drain(&c), "\r\n\r\n"));
    leave(&c);
    CHECK(counters()->files == 0);
    finish();
    CHECK(open_descriptors() == before);
}

/* Over sockets */

static void is_large(int fd)
{
    hear(fd, sizeof heard - 1, NULL);
    const char *body = strstr(heard, "\r\n\r\n");
    CHECK(body && heard_size - (size_t)(body + 4 - heard) == LARGE);
    CHECK(body && memcmp(body + 4, large, LARGE) == 0);
}

static void sockets_get_files(void)
{
    struct sigaction ignored = {.sa_handler = SIG_IGN}, usual = {.sa_handler = SIG_DFL};
    for (int blocks = 0; blocks < 2; blocks++) {
        /* Where a signal would kill whoever sends, files are read. */
        sigaction(SIGPIPE, blocks ? &usual : &ignored, NULL);
        start_default_files();
        listen_tcp(16);
        int fd = dial();
        say(fd, "GET /files/large.bin HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        is_large(fd);
        close(fd);
        for (int i = 0; i < 20; i++) {
            fd = dial();
            say(fd, GET("/files/large.bin"));
            hear(fd, 1000, NULL);
            reset(fd);
        }
        until_empty();
        CHECK(counters()->files == 1);
        finish();
        close(listener);
    }
}

static void others_have_their_turn(void)
{
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    start_default_files();
    listen_tcp(16);
    int size = 1 << 22, fd = dial();
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    say(fd, GET("/files/large.bin") GET("/files/large.bin"));
    size_t got = 0;
    while (got < 2 * LARGE && !cv_failures) {
        static char into[1 << 22];
        uint64_t before = counters()->bytes_out;
        if (readable(cv_engine_fd(engine), 0))
            poll_engine();
        CHECK(counters()->bytes_out - before <= 2 * (512 * 1024 + 1000));
        ssize_t some = recv(fd, into, sizeof into, 0);
        if (some > 0)
            got += (size_t)some;
    }
    close(fd);
    until_empty();
    finish();
    close(listener);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

int main(int argc, char **argv)
{
    int quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    CHECK(mkdtemp(root) != NULL);
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)('!' + i % 89);
    mkdir(at("served"), 0700);
    mkdir(at("served/deep"), 0700);
    mkdir(at("served/deep/er"), 0700);
    mkdir(at("beside"), 0700);
    write_text("beside/secret.txt", "secret");
    write_text("served/small.txt", "small");
    write_text("served/deep/er/x.txt", "deep");
    write_file("served/large.bin", large, LARGE);
    CHECK(symlink(at("beside/secret.txt"), at("served/link.txt")) == 0);
    CHECK(symlink(at("beside"), at("served/linked")) == 0);
    CHECK(symlink("small.txt", at("served/inner.txt")) == 0);
    CHECK(mkfifo(at("served/pipe"), 0600) == 0);

    only_what_is_beneath_is_opened(cv_beneath_open);
    only_what_is_beneath_is_opened(cv_beneath_open_by_steps);
    no_race_leads_out();
    files_are_answers();
    ranges_come_in_parts();
    what_is_replaced_is_sent_as_it_was();
    what_grows_has_the_length_it_had();
    what_is_cut_short_ends_the_connection();
    a_client_that_does_not_read_is_cut();
    there_are_only_so_many();
    if (!quick) /* valgrind has descriptors of its own */
        without_descriptors_there_is_an_answer();
    few_are_kept();
    a_folder_may_be_switched();
    what_becomes_a_link_is_gone_a_second_later();
    python_sends_files();
    what_python_hands_over_is_closed();
    sockets_get_files();
    others_have_their_turn();
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return cv_failures != 0;
}
