/* The engine over sockets: what epoll, the timer and the clients of a real system do to it. */
#define _GNU_SOURCE
#include "engine_sockets.h"

#ifndef CV_KQUEUE
#include <sys/epoll.h>
#endif
#include <sys/resource.h>
#include <sys/un.h>

static int quick;

static void over(void)
{
    until_empty();
    if (listener >= 0)
        close(listener);
    listener = -1;
    finish();
}

static void one_connection_many_requests(void)
{
    start_listening();
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        say(fd, GET("/hello"));
        CHECK(ends(hear_until(fd, "hello"), "hello"));
        say(fd, GET("/items/12"));
        const cv_event *event = await(CV_REQUEST);
        const cv_request *r = request_of(event);
        static const uint8_t local[4] = {127, 0, 0, 1};
        struct sockaddr_in mine;
        socklen_t size = sizeof mine;
        getsockname(fd, (struct sockaddr *)&mine, &size);
        CHECK(r->family == 4 && memcmp(r->peer, local, 4) == 0 && r->port == ntohs(mine.sin_port));
        CHECK(r->arrived > 0 && r->listener == 0);
        answer(event->handle, "{}");
        CHECK(ends(hear_until(fd, "{}"), "{}"));
    }
    CHECK(!readable(cv_engine_fd(engine), 0));
    CHECK(counters()->blocks == 0 && counters()->connections == 1 && counters()->accepted == 1);
    uint64_t served = 0;
    for (size_t i = 0; i < sizeof counters()->service / sizeof *counters()->service; i++)
        served += counters()->service[i];
    CHECK(served == 6 && counters()->bytes_in > 200 && counters()->bytes_out > 500);
    close(fd);
    over();
}

static void nothing_is_lost_with_a_slow_reader(void)
{
    start_listening();
    int fd = dial();
    enum { MANY = 20000 };
    size_t size = (size_t)MANY * strlen(GET("/hello"));
    char *all = malloc(size + 1);
    for (int i = 0; i < MANY; i++)
        memcpy(all + (size_t)i * strlen(GET("/hello")), GET("/hello"), strlen(GET("/hello")));
    size_t sent = 0, got = 0, answers = 0;
    static char into[1 << 16];
    size_t kept = 0;
    for (int i = 0; answers < MANY && i < 2000000; i++) {
        if (sent < size) {
            ssize_t part = send(fd, all + sent, size - sent, MSG_NOSIGNAL);
            sent += part > 0 ? (size_t)part : 0;
        }
        if (readable(cv_engine_fd(engine), 0))
            poll_engine();
        if (i % 7 && sent < size)
            continue;
        ssize_t part = recv(fd, into + kept, 1000, 0);
        if (part <= 0)
            continue;
        got += (size_t)part;
        kept += (size_t)part;
        into[kept] = 0;
        char *at = into, *next;
        while ((next = strstr(at, "\r\n\r\nhello")) != NULL) {
            answers++;
            at = next + 9;
        }
        kept -= (size_t)(at - into);
        memmove(into, at, kept);
    }
    CHECK(answers == MANY && kept == 0 && got > size);
    CHECK(counters()->native == MANY);
    free(all);
    close(fd);
    over();
}

static void an_upload_is_pulled(void)
{
    start_listening();
    int fd = dial();
    size_t size = quick ? 500000 : 5000000, sent = 0, got = 0;
    char *body = malloc(size);
    for (size_t i = 0; i < size; i++)
        body[i] = (char)(i * 7 + i / 251);
    char head[200];
    sprintf(head, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: %zu\r\n\r\n", size);
    say(fd, head);
    uint64_t handle = await(CV_REQUEST)->handle;
    /* Nothing is asked for: the engine takes what fits a block, and no more. */
    for (int i = 0; i < 1000; i++) {
        ssize_t part = send(fd, body + sent, size - sent, MSG_NOSIGNAL);
        if (part > 0)
            sent += (size_t)part;
        poll_engine();
    }
    CHECK(counters()->bytes_in < 100000);
    CHECK(counters()->blocks == 1);
    int last = 0, good = 1;
    op(handle, CV_READ);
    while (!last && !cv_failures) {
        ssize_t part = send(fd, body + sent, size - sent, MSG_NOSIGNAL);
        if (part > 0)
            sent += (size_t)part;
        if (!readable(cv_engine_fd(engine), sent == size ? PATIENCE : 1))
            continue;
        poll_engine();
        const cv_event *event = event_of(CV_BODY);
        if (!event)
            continue;
        good = good && memcmp(arena + event->at, body + got, event->size) == 0;
        got += event->size;
        last = event->flags & CV_BODY_COMPLETE;
        CHECK(counters()->blocks <= 2);
        if (!last)
            op(handle, CV_READ);
    }
    CHECK(good && got == size);
    answer(handle, "{}");
    CHECK(ends(hear_until(fd, "{}"), "{}"));
    free(body);
    close(fd);
    over();
}

static void a_large_answer_is_streamed(void)
{
    start_listening();
    int fd = dial();
    say(fd, GET("/plain"));
    uint64_t handle = await(CV_REQUEST)->handle;
    enum { SIZE = 4000000, PIECE = 40000 };
    static char piece[PIECE + 1];
    memset(piece, 'z', PIECE);
    reply(handle, 200, CV_MORE, "content-length: 4000000\r\n", "");
    int64_t credit = options.high_water;
    size_t sent = 0, got = 0;
    static char into[50000];
    while (got < SIZE && !cv_failures) {
        while (credit > 0 && sent < SIZE) {
            chunk(handle, piece, sent + PIECE < SIZE ? CV_MORE : 0);
            sent += PIECE;
            credit -= PIECE;
        }
        if (readable(cv_engine_fd(engine), 0)) {
            poll_engine();
            for (int i = 0; i < count; i++)
                credit += events[i].kind == CV_ROOM ? (int64_t)events[i].size : 0;
        }
        CHECK(credit <= (int64_t)options.high_water);
        ssize_t part = recv(fd, into, sizeof into, 0);
        for (ssize_t i = 0; i < part; i++)
            got += into[i] == 'z';
    }
    CHECK(sent == SIZE && got == SIZE);
    close(fd);
    over();
}

static void clients_that_leave_are_noticed(void)
{
    for (int how = 0; how < 2; how++) {
        start_listening();
        int fd = dial();
        say(fd, GET("/plain"));
        uint64_t handle = await(CV_REQUEST)->handle;
        if (how)
            reset(fd);
        else
            close(fd);
        const cv_event *event = await(CV_GONE);
        CHECK(event && event->handle == handle && event->extra == CV_GONE_CLOSED);
        CHECK(cv_engine_is_current(engine, handle));
        CHECK(how == 0 || counters()->connections == 0);
        /* The descriptor is quiet: a closed peer does not make the loop spin. */
        while (readable(cv_engine_fd(engine), 0) && counters()->polls < 100)
            poll_engine();
        CHECK(counters()->polls < 100);
        answer(handle, "late");
        CHECK(!cv_engine_is_current(engine, handle) && counters()->stale == 0);
        over();
    }
    /* The client has only shut down writing: it gets its answer. */
    start_listening();
    int fd = dial();
    say(fd, GET("/plain"));
    shutdown(fd, SHUT_WR);
    uint64_t handle = await(CV_REQUEST)->handle;
    await(CV_GONE);
    answer(handle, "for a half");
    CHECK(ends(hear_end(fd), "for a half") && heard_end == 1);
    close(fd);
    over();
    /* While a large answer is on its way. */
    start_listening();
    fd = dial();
    say(fd, GET("/plain"));
    handle = await(CV_REQUEST)->handle;
    char *large = malloc(8000001);
    memset(large, 'x', 8000000);
    large[8000000] = 0;
    reply(handle, 200, CV_MORE, "", large);
    free(large);
    reset(fd);
    CHECK(await(CV_GONE)->handle == handle);
    op(handle, CV_DROP);
    over();
}

/* bad input 18 */
static void an_early_answer_can_be_read(void)
{
    start_listening();
    int fd = dial();
    int64_t size = 600000;
    char head[200];
    sprintf(head, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: %lld\r\n\r\n",
            (long long)size);
    say(fd, head);
    uint64_t handle = await(CV_REQUEST)->handle;
    reply(handle, 413, 0, "", "too much");
    /* It sends on before it reads. */
    static char piece[10000];
    while (size > 0) {
        ssize_t part = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
        if (part < 0)
            CHECK(errno == EAGAIN);
        if (part < 0 && errno != EAGAIN)
            break;
        size -= part > 0 ? part : 0;
        while (readable(cv_engine_fd(engine), 0))
            poll_engine();
    }
    CHECK(ends(hear_end(fd), "too much") && heard_end == 1);
    CHECK(strstr(heard, "connection: close\r\n") != NULL);
    close(fd);
    over();
    /* One that never stops is cut off. */
    start_listening();
    fd = dial();
    say(fd, "POST /hello HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n");
    size_t sent = 0;
    for (int i = 0; i < 100000 && counters()->accepted <= 1; i++) {
        ssize_t part = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
        if (part < 0 && errno != EAGAIN)
            break;
        sent += part > 0 ? (size_t)part : 0;
        while (readable(cv_engine_fd(engine), 0))
            poll_engine();
    }
    CHECK(sent < 20000000 && counters()->connections == 0);
    close(fd);
    over();
    /* Or when it says nothing more. */
    start_listening();
    fd = dial();
    say(fd, "BROKEN\r\n\r\n");
    CHECK(starts(hear_end(fd), "HTTP/1.1 400 "));
    CHECK(counters()->connections == 1);
    cv_engine_advance(engine, 3);
    CHECK(counters()->connections == 0);
    close(fd);
    over();
}

static void many_connections(void)
{
    enum { MANY = 2000 };
    static int fds[MANY];
    struct rlimit files;
    int many = quick ? 100 : MANY;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 2 * MANY + 100 && files.rlim_max >= 2 * MANY + 100) {
        files.rlim_cur = 2 * MANY + 100;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (files.rlim_cur < 2 * MANY + 100)
        many = (int)(files.rlim_cur - 100) / 2;
    start_listening();
    for (int i = 0; i < many; i++) {
        fds[i] = dial();
        if (readable(cv_engine_fd(engine), 0))
            poll_engine();
    }
    for (int round = 0; round < 3; round++) {
        int answered = 0;
        for (int i = 0; i < many; i++)
            say(fds[i], round == 1 ? GET("/hello") : GET("/items/3"));
        uint64_t native = counters()->native;
        while (round == 1 ? counters()->native - native < (uint64_t)many : answered < many) {
            if (!CHECK(readable(cv_engine_fd(engine), PATIENCE)))
                break;
            cv_event seen[CV_EVENTS];
            int n = poll_engine();
            memcpy(seen, events, (size_t)n * sizeof *seen);
            for (int i = 0; i < n; i++) {
                CHECK(seen[i].kind == CV_REQUEST);
                answer(seen[i].handle, "three");
                answered++;
            }
        }
        for (int i = 0; i < many; i++) {
            ssize_t size = recv(fds[i], heard, 1000, 0);
            heard[size > 0 ? size : 0] = 0;
            CHECK(starts(heard, "HTTP/1.1 200 OK\r\n"));
            CHECK(ends(heard, round == 1 ? "hello" : "three"));
        }
    }
    CHECK(counters()->connections == (uint64_t)many && counters()->blocks == 0);
    for (int i = 0; i < many; i++)
        if (i % 2)
            reset(fds[i]);
        else
            close(fds[i]);
    over();
}

static void accepting_pauses_when_full(void)
{
    default_options();
    options.max_connections = 3;
    start();
    listen_tcp(100);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = dial();
        say(fds[i], GET("/hello"));
    }
    for (int i = 0; i < 3; i++)
        CHECK(ends(hear_until(fds[i], "hello"), "hello"));
    CHECK(counters()->connections == 3);
    while (readable(cv_engine_fd(engine), 0) && counters()->polls < 100)
        poll_engine();
    CHECK(counters()->polls < 100); /* the backlog does not make the loop spin */
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
        CHECK(ends(hear_until(fds[i + 3], "hello"), "hello"));
    }
    CHECK(counters()->accepted == 6);
    for (int i = 3; i < 6; i++)
        close(fds[i]);
    over();
}

static void without_descriptors_accepting_pauses(void)
{
    start_listening();
    int fd = dial(), other = dial();
    say(fd, GET("/hello"));
    struct rlimit files, few;
    getrlimit(RLIMIT_NOFILE, &files);
    few = files;
    int next = dup(0);
    close(next);
    few.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &few);
    turn();
    CHECK(counters()->accepted == 0 && counters()->refused_connections == 1);
    while (readable(cv_engine_fd(engine), 0) && counters()->polls < 100)
        poll_engine();
    CHECK(counters()->polls < 100);
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    CHECK(ends(hear_until(fd, "hello"), "hello"));
    close(fd);
    close(other);
    over();
}

static void stopping_answers_the_backlog(void)
{
    start_listening();
    enum { MANY = 300 };
    int fds[MANY];
    int busy = dial();
    say(busy, GET("/items/1"));
    uint64_t handle = await(CV_REQUEST)->handle;
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        say(fds[i], GET("/hello"));
    }
    cv_engine_stop(engine);
    CHECK(counters()->accepted == MANY + 1);
    close(listener);
    listener = -1;
    for (int i = 0; i < MANY; i++) {
        CHECK(ends(hear_end(fds[i]), "hello") && heard_end == 1);
        CHECK(strstr(heard, "connection: close\r\n") != NULL);
        close(fds[i]);
    }
    answer(handle, "the last");
    CHECK(ends(hear_end(busy), "the last") && heard_end == 1);
    close(busy);
    CHECK(await(CV_EMPTY) != NULL);
    CHECK(counters()->connections == 0);
    over();
}

/* Whether an engine waits for the listener in a way that wakes only one of those who do, where there is
 * such a way. */
#ifdef CV_KQUEUE
static int waits_exclusively(const cv_engine *of)
{
    return of != NULL;
}
#else
static int waits_exclusively(const cv_engine *of)
{
    char path[64], line[256];
    int found = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", cv_engine_fd(of));
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (file && fgets(line, sizeof line, file)) {
        int fd;
        unsigned waited;
        if (sscanf(line, "tfd: %d events: %x", &fd, &waited) == 2 && fd == listener)
            found = (waited & EPOLLEXCLUSIVE) != 0;
    }
    if (file)
        fclose(file);
    return found;
}
#endif

/* What a client hears while two engines work. */
static const char *hear_from_either(cv_engine *other, int fd)
{
    char *end = heard;
    *end = 0;
    for (int i = 0; i < PATIENCE && !ends(heard, "hello"); i++) {
        poll_engine();
        cv_engine_poll(other);
        if (!readable(fd, 1))
            continue;
        ssize_t size = recv(fd, end, 1000, 0);
        if (size <= 0)
            break;
        end += size;
        *end = 0;
    }
    return heard;
}

static void engines_share_a_listener(void)
{
    enum { MANY = 20, FEW = 3 };
    start_listening();
    options.max_connections = FEW;
    cv_engine *other = cv_engine_new(&options);
    cv_engine_begin(other, make_routes());
    CHECK(cv_engine_listen(other, listener) == 0);
    CHECK(waits_exclusively(engine) && waits_exclusively(other));
    int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        say(fds[i], GET("/hello"));
    }
    cv_engine_poll(other);
    CHECK(cv_engine_counters(other)->accepted == FEW); /* the rest is left to the first */
    for (int i = 0; i < MANY; i++)
        CHECK(ends(hear_from_either(other, fds[i]), "hello"));
    CHECK(counters()->accepted + cv_engine_counters(other)->accepted == MANY);

    cv_engine_stop(other); /* the socket is still there for others */
    for (int i = 0; i < FEW; i++) {
        int fd = dial();
        say(fd, GET("/hello"));
        CHECK(ends(hear_from_either(other, fd), "hello"));
        close(fd);
    }
    CHECK(cv_engine_counters(other)->accepted == FEW);
    CHECK(counters()->accepted == MANY);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    cv_engine_close(other);
    cv_engine_free(other);
    over();
}

/* Native answers to many connections at a time, and a request for Python among them. */
static void many_native_answers_do_not_hide_a_request(void)
{
    enum { MANY = 40 };
    int fds[MANY];
    start_listening();
    for (int i = 0; i < MANY; i++)
        fds[i] = dial();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            say(fds[i], i == MANY / 2 ? GET("/items/1") : GET("/hello"));
        answer(await(CV_REQUEST)->handle, "hello");
        for (int i = 0; i < MANY; i++)
            CHECK(ends(hear_until(fds[i], "hello"), "hello"));
    }
    CHECK(counters()->native == 3 * (MANY - 1));
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    over();
}

static void the_timer_makes_it_readable(void)
{
    start_listening();
    int fd = dial();
    say(fd, GET("/items/1"));
    uint64_t handle = await(CV_REQUEST)->handle;
    arm(handle, 5, 30);
    CHECK(!readable(cv_engine_fd(engine), 0));
    const cv_event *event = await(CV_TIMER);
    CHECK(event->handle == handle && event->extra == 5);
    arm(handle, 6, 0);
    CHECK(await(CV_TIMER)->extra == 6);
    answer(handle, "{}");
    CHECK(ends(hear_until(fd, "{}"), "{}"));
    close(fd);
    over();
}

static void submit_makes_it_readable_where_more_can_be_done(void)
{
    start_listening();
    int fd = dial();
    say(fd, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
    uint64_t handle = await(CV_REQUEST)->handle;
    while (readable(cv_engine_fd(engine), 0))
        poll_engine();
    op(handle, CV_READ);
    CHECK(await(CV_BODY)->size == 3);
    answer(handle, "enough");
    say(fd, "defghi");
    say(fd, "DELETE /plain HTTP/1.1\r\nhost: a\r\n\r\n" GET("/items/1"));
    handle = await(CV_REQUEST)->handle;
    CHECK(!readable(cv_engine_fd(engine), 0));
    answer(handle, "one");
    handle = await(CV_REQUEST)->handle;
    answer(handle, "two");
    CHECK(ends(hear_until(fd, "two"), "two") && strstr(heard, "enough") && strstr(heard, "one"));
    close(fd);
    over();
}

static void held_requests_wait_for_the_next_table(void)
{
    start_listening();
    cv_engine_hold(engine);
    int fd = dial();
    say(fd, GET("/hello"));
    for (int i = 0; i < 5 && readable(cv_engine_fd(engine), 50); i++)
        poll_engine();
    CHECK(counters()->accepted == 1 && counters()->requests == 0);
    cv_engine_begin(engine, make_routes());
    CHECK(ends(hear_until(fd, "hello"), "hello"));
    close(fd);
    over();
}

static void local_sockets_are_served(void)
{
    start_default();
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    /* An abstract name: nothing is left behind. */
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "covet-engine-%d", getpid());
    socklen_t size = (socklen_t)(sizeof name.sun_family + 1 + (size_t)length);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&name, size) == 0 && listen(listener, 10) == 0);
    CHECK(cv_engine_listen(engine, listener) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&name, size) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    say(fd, GET("/items/1"));
    const cv_event *event = await(CV_REQUEST);
    uint64_t handle = event->handle;
    CHECK(request_of(event)->family == 0 && request_of(event)->port == 0);
    answer(handle, "{}");
    CHECK(ends(hear_until(fd, "{}"), "{}"));
    say(fd, GET("/items/2"));
    handle = await(CV_REQUEST)->handle;
    close(fd);
    CHECK(await(CV_GONE)->handle == handle);
    while (readable(cv_engine_fd(engine), 0) && counters()->polls < 100)
        poll_engine();
    CHECK(counters()->polls < 100);
    op(handle, CV_DROP);
    over();
}

static void what_does_not_listen_is_refused(void)
{
    start_default();
    int pair[2];
    CHECK(cv_engine_listen(engine, -1) == -EBADF);
    CHECK(cv_engine_listen(engine, 0) < 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(cv_engine_listen(engine, pair[0]) == -EINVAL);
    close(pair[0]);
    close(pair[1]);
    finish();
}

static void a_burst_does_not_stay_resident(void)
{
    default_options();
    options.arena_size = 64 << 20;
    start();
    enum { MANY = 600 };
    static client c[MANY];
    for (int i = 0; i < MANY; i++) {
        c[i] = connect_client();
        feed(&c[i], "GET /ite");
    }
    CHECK(counters()->blocks == MANY);
    for (int i = 0; i < MANY; i++)
        leave(&c[i]);
    CHECK(counters()->blocks == 0);
    cv_engine_advance(engine, 1.1);
    poll_engine();
    cv_engine_advance(engine, 1.1);
    poll_engine();
    /* Some of the blocks are used again, with pages and without. */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            c[i] = connect_client();
            feed(&c[i], GET("/items/1"));
        }
        poll_engine();
        CHECK(count == MANY);
        cv_event seen[MANY];
        memcpy(seen, events, sizeof seen);
        for (int i = 0; i < MANY; i++)
            answer(seen[i].handle, "{}");
        for (int i = 0; i < MANY; i++)
            leave(&c[i]);
        cv_engine_advance(engine, 1.1);
        poll_engine();
    }
    finish();
}

int main(int argc, char **argv)
{
    quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    one_connection_many_requests();
    nothing_is_lost_with_a_slow_reader();
    an_upload_is_pulled();
    a_large_answer_is_streamed();
    clients_that_leave_are_noticed();
    an_early_answer_can_be_read();
    many_connections();
    accepting_pauses_when_full();
    if (!quick) /* valgrind accepts what is over the limit, and drops it */
        without_descriptors_accepting_pauses();
    stopping_answers_the_backlog();
    engines_share_a_listener();
    many_native_answers_do_not_hide_a_request();
    the_timer_makes_it_readable();
    submit_makes_it_readable_where_more_can_be_done();
    held_requests_wait_for_the_next_table();
    local_sockets_are_served();
    what_does_not_listen_is_refused();
    a_burst_does_not_stay_resident();
    return cv_failures != 0;
}
