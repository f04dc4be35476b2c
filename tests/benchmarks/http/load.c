/* A load generator for HTTP/1.1 servers: one thread, epoll, fast enough never to be what is measured.
 *
 *     load --port 8000 --request FILE --body FILE [--status 200] [--host 127.0.0.1] [--core 1]
 *          [--connections 64] [--depth 1] [--seconds 5] [--warm-up 1] [--pid N]... [--rate N] [--hold]
 *          [--handshake FILE]
 *
 * Every connection sends `depth` requests at once and the next as many when all are answered (a closed
 * loop). With --rate the requests of all connections together keep to a schedule, and latency counts
 * from when a request was due, not from when it could be sent. It spins: a server never pays for
 * waking it up.
 *
 * Every byte of every answer is checked. The first answer is parsed: status, Content-Length and body
 * must be those given. Later ones must repeat it but for the value of Date; one that does not is
 * parsed like the first (`parsed` counts them). Anything else ends the run with a message and status 1.
 *
 * The CPU clocks of the processes given by --pid are read at the very ends of the window in which
 * answers are counted. The result is one JSON object.
 *
 * --handshake is sent first on each connection and answered 101: a WebSocket. A request is a masked frame
 * then, and the body the frame that has to come back, every byte of it.
 *
 * --hold opens the connections one by one, makes one request on each, says {"held": N}, keeps them
 * until standard input ends, and says how many the server has kept: {"kept": N}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_PIDS = 64,
    EVENTS = 256,
    BUFFER = 16 << 20, /* of the largest answer, and of a file that is given */
    LONG = 128 * 1024, /* an answer of more is compared as it comes, instead of being kept */
    DATE_SIZE = 29, /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    STEPS = 64, /* buckets for each power of two: 1.6 percent wide */
    BUCKETS = 40 * STEPS
};

typedef struct {
    int fd;
    bool writing; /* EPOLLOUT is armed: a part of the requests did not fit */
    uint32_t awaited; /* answers still to come of those sent */
    size_t left; /* bytes of the requests still to send */
    uint64_t began; /* ns: when they were sent, or due */
    uint64_t due; /* ns: with a rate, when the next is */
    uint8_t *rest; /* the beginning of an answer that has not come whole */
    size_t rest_size, rest_room;
    size_t matched; /* bytes of a long answer that have come */
} connection;

typedef struct {
    uint8_t *bytes;
    size_t size;
} text;

static struct {
    const char *host;
    int port, core, connections, depth, status;
    double seconds, warm_up, rate;
    bool hold;
    text request, body, handshake;
    int pids[MAX_PIDS], pid_count;
} given = {.host = "127.0.0.1", .core = -1, .connections = 64, .depth = 1, .status = 200,
           .seconds = 5, .warm_up = 1};

/* The answer all others must repeat; `date` is where its Date's value begins, or `size`. */
static struct {
    uint8_t *bytes;
    size_t size, date, after_date;
} model;

static text requests; /* `depth` of them, one after the other */
static uint8_t buffer[BUFFER];
static uint64_t histogram[BUCKETS], answers, bytes_in, parsed, reads, longest;
static int poller;

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2), noreturn))
#endif
static void
fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t
nanoseconds(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now))
        fail("a clock cannot be read: %s", strerror(errno));
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The CPU clock of a whole process, all its threads. */
static clockid_t
clock_of(int pid)
{
    clockid_t clock;
    int error = clock_getcpuclockid(pid, &clock);
    if (error)
        fail("process %d has no clock: %s", pid, strerror(error));
    return clock;
}

static int
bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (int)value;
    int power = 63 - __builtin_clzll(value);
    int bucket = (power - 5) * STEPS + (int)((value >> (power - 6)) & (STEPS - 1));
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t
value_of(int bucket)
{
    if (bucket < STEPS)
        return (uint64_t)bucket;
    int power = bucket / STEPS + 5;
    return (UINT64_C(1) << power) + (((uint64_t)(bucket % STEPS) + 1) << (power - 6)) - 1;
}

static double
percentile(double share)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        total += histogram[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if ((double)seen >= share * (double)total && seen)
            return (double)value_of(i) / 1e3;
    }
    return 0;
}

/* The value of a field in a head, or NULL. `head_size` ends with the empty line. */
static const uint8_t *
field(const uint8_t *head, size_t head_size, const char *name, size_t *size)
{
    size_t name_size = strlen(name);
    const uint8_t *line = head, *end = head + head_size - 2;
    while (line < end) {
        const uint8_t *next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (!next)
            return NULL;
        if ((size_t)(next - line) > name_size && line[name_size] == ':'
            && !strncasecmp((const char *)line, name, name_size)) {
            line += name_size + 1;
            while (line < next && (*line == ' ' || *line == '\t'))
                line++;
            *size = (size_t)(next - line);
            return line;
        }
        line = next + 2;
    }
    return NULL;
}

/* Parse one answer and make it the model. Returns its size, or 0: more bytes are needed. */
static size_t
learn(const uint8_t *bytes, size_t size)
{
    if (given.handshake.size)
        fail("another message than the one that was sent");
    const uint8_t *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) {
        if (size > 16384)
            fail("an answer's head does not end within %zu bytes", size);
        return 0;
    }
    size_t head = (size_t)(end - bytes) + 4, length_size, date_size;
    char status[16];
    snprintf(status, sizeof status, "HTTP/1.1 %03d", given.status);
    if (size < 13 || memcmp(bytes, status, 12) || (bytes[12] != ' ' && bytes[12] != '\r'))
        fail("not %s: %.*s", status, (int)head, (const char *)bytes);
    const uint8_t *length = field(bytes, head, "content-length", &length_size);
    bool empty = given.status == 204 || given.status == 304; /* may go without */
    if ((!length || !length_size) && !empty)
        fail("no Content-Length: %.*s", (int)head, (const char *)bytes);
    size_t body = 0;
    for (size_t i = 0; i < length_size && !empty; i++) {
        if (length[i] < '0' || length[i] > '9' || body > 1u << 30)
            fail("a malformed Content-Length: %.*s", (int)head, (const char *)bytes);
        body = body * 10 + (size_t)(length[i] - '0');
    }
    if (body != given.body.size)
        fail("%zu bytes of body instead of %zu: %.*s", body, given.body.size,
             (int)(size < head + body ? size : head + body), (const char *)bytes);
    if (size < head + body)
        return 0;
    if (memcmp(bytes + head, given.body.bytes, body))
        fail("another body: %.*s", (int)(head + body), (const char *)bytes);
    parsed++;
    model.bytes = realloc(model.bytes, head + body);
    if (!model.bytes)
        fail("no memory");
    model.size = model.date = model.after_date = head + body;
    memcpy(model.bytes, bytes, model.size);
    const uint8_t *date = field(bytes, head, "date", &date_size);
    if (date && date_size == DATE_SIZE) {
        model.date = (size_t)(date - bytes);
        model.after_date = model.date + DATE_SIZE;
    }
    return model.size;
}

/* Whether the bytes repeat the model, as far as they go. */
static bool
repeats(const uint8_t *bytes, size_t size)
{
    size_t before = size < model.date ? size : model.date;
    if (memcmp(bytes, model.bytes, before))
        return false;
    return size <= model.after_date
        || !memcmp(bytes + model.after_date, model.bytes + model.after_date,
                   size - model.after_date);
}

/* How many whole answers there are; `used` is how many bytes they took. */
static uint32_t
count_answers(const uint8_t *bytes, size_t size, size_t *used)
{
    const uint8_t *at = bytes, *end = bytes + size;
    uint32_t count = 0;
    while (at < end) {
        size_t here = (size_t)(end - at);
        if (model.size && repeats(at, here < model.size ? here : model.size)) {
            if (here < model.size)
                break;
            at += model.size;
        } else {
            size_t took = learn(at, here);
            if (!took)
                break;
            at += took;
        }
        count++;
    }
    *used = (size_t)(at - bytes);
    return count;
}

static void
watch(connection *each, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = each};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, each->fd, &event))
        fail("epoll_ctl: %s", strerror(errno));
    each->writing = writing;
}

static void
push(connection *each)
{
    ssize_t sent = send(each->fd, requests.bytes + requests.size - each->left, each->left,
                        MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            fail("sending: %s", strerror(errno));
        sent = 0;
    }
    each->left -= (size_t)sent;
    if ((each->left > 0) != each->writing)
        watch(each, each->left > 0);
}

static void
ask(connection *each, uint64_t since)
{
    each->began = since;
    each->awaited = (uint32_t)given.depth;
    each->left = requests.size;
    push(each);
}

/* Whether bytes are what the model has at an offset, but for its date. */
static bool
follows(size_t offset, const uint8_t *bytes, size_t size)
{
    size_t end = offset + size;
    if (end > model.size)
        return false;
    size_t before = end < model.date ? end : model.date;
    size_t behind = offset > model.after_date ? offset : model.after_date;
    if (offset < before && memcmp(bytes, model.bytes + offset, before - offset))
        return false;
    return behind >= end || !memcmp(bytes + (behind - offset), model.bytes + behind, end - behind);
}

/* As `take`, where each answer is long and there is one at a time. */
static uint32_t
take_long(connection *each, const uint8_t *bytes, size_t size)
{
    if (!follows(each->matched, bytes, size))
        fail("a long answer that is another than the first");
    each->matched += size;
    if (each->matched < model.size)
        return 0;
    each->matched = 0;
    return 1;
}

static void
answered(connection *each, uint32_t count)
{
    each->awaited -= count;
    answers += count;
    if (count) {
        uint64_t now = nanoseconds(CLOCK_MONOTONIC);
        uint64_t took = now > each->began ? now - each->began : 0;
        histogram[bucket_of(took)] += count;
        if (took > longest)
            longest = took;
    }
}

/* Take what has arrived. */
static void
take(connection *each)
{
    bool is_long = model.size > LONG && given.depth == 1;
    if (is_long && each->rest_size) {
        take_long(each, each->rest, each->rest_size);
        each->rest_size = 0;
    }
    memcpy(buffer, each->rest, each->rest_size);
    ssize_t got = recv(each->fd, buffer + each->rest_size, BUFFER - each->rest_size, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got < 0)
        fail("receiving: %s", strerror(errno));
    if (got == 0)
        fail("the server closed a connection after %" PRIu64 " answers", answers);
    reads++;
    bytes_in += (uint64_t)got;
    if (is_long) {
        answered(each, take_long(each, buffer, (size_t)got));
        return;
    }
    size_t size = each->rest_size + (size_t)got, used;
    uint32_t count = count_answers(buffer, size, &used);
    if (count > each->awaited || (count == each->awaited && used < size))
        fail("more answers than requests");
    size_t rest = size - used;
    if (rest == BUFFER)
        fail("an answer is larger than %d bytes", BUFFER);
    if (rest > each->rest_room) {
        each->rest = realloc(each->rest, rest);
        if (!each->rest)
            fail("no memory");
        each->rest_room = rest;
    }
    memcpy(each->rest, buffer + used, rest);
    each->rest_size = rest;
    answered(each, count);
}

static int
dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)given.port)};
    if (inet_pton(AF_INET, given.host, &address.sin_addr) != 1)
        fail("not an IPv4 address: %s", given.host);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("connecting: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

/* Have the connection be a WebSocket, if that is what is wanted. */
static void
shake(int fd)
{
    if (!given.handshake.size)
        return;
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, given.handshake.bytes, given.handshake.size, MSG_NOSIGNAL)
        != (ssize_t)given.handshake.size)
        fail("sending: %s", strerror(errno));
    char head[4096];
    size_t size = 0;
    while (!memmem(head, size, "\r\n\r\n", 4)) {
        ssize_t got = recv(fd, head + size, sizeof head - size, 0);
        if (got <= 0)
            fail("no answer to a handshake: %.*s", (int)size, head);
        size += (size_t)got;
    }
    if (memcmp(head, "HTTP/1.1 101 ", 13) || memcmp(head + size - 4, "\r\n\r\n", 4))
        fail("not the answer to a handshake alone: %.*s", (int)size, head);
}

static text
contents(const char *path)
{
    text found = {malloc(BUFFER), 0};
    FILE *file = fopen(path, "rb");
    if (!file || !found.bytes)
        fail("%s: %s", path, strerror(errno));
    found.size = fread(found.bytes, 1, BUFFER, file);
    fclose(file);
    return found;
}

static void
arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--hold")) {
            given.hold = true;
            continue;
        }
        if (i + 1 == argc)
            fail("%s needs a value", name);
        const char *value = argv[++i];
        if (!strcmp(name, "--host"))
            given.host = value;
        else if (!strcmp(name, "--port"))
            given.port = atoi(value);
        else if (!strcmp(name, "--core"))
            given.core = atoi(value);
        else if (!strcmp(name, "--connections"))
            given.connections = atoi(value);
        else if (!strcmp(name, "--depth"))
            given.depth = atoi(value);
        else if (!strcmp(name, "--status"))
            given.status = atoi(value);
        else if (!strcmp(name, "--seconds"))
            given.seconds = atof(value);
        else if (!strcmp(name, "--warm-up"))
            given.warm_up = atof(value);
        else if (!strcmp(name, "--rate"))
            given.rate = atof(value);
        else if (!strcmp(name, "--request"))
            given.request = contents(value);
        else if (!strcmp(name, "--body"))
            given.body = contents(value);
        else if (!strcmp(name, "--handshake"))
            given.handshake = contents(value);
        else if (!strcmp(name, "--pid") && given.pid_count < MAX_PIDS)
            given.pids[given.pid_count++] = atoi(value);
        else
            fail("unknown: %s", name);
    }
    if (!given.port || !given.request.size || given.connections < 1 || given.depth < 1)
        fail("--port and --request are needed, --connections and --depth at least 1");
    if (given.rate > 0 && given.depth > 1)
        fail("--rate is for one request at a time");
}

/* Turn until `until`, asking anew for as long as `asking`. Without it, end when all is answered. */
static void
turn(connection *all, uint64_t until, bool asking)
{
    struct epoll_event ready[EVENTS];
    uint64_t period = given.rate > 0 ? (uint64_t)(1e9 * given.connections / given.rate) : 0;
    for (uint64_t now; (now = nanoseconds(CLOCK_MONOTONIC)) < until;) {
        if (asking && period) {
            for (int i = 0; i < given.connections; i++) {
                connection *each = all + i;
                if (!each->awaited && each->due <= now) {
                    ask(each, each->due);
                    each->due += period;
                }
            }
        }
        int count = epoll_wait(poller, ready, EVENTS, 0);
        for (int i = 0; i < count; i++) {
            connection *each = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT)
                push(each);
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                take(each);
            if (asking && !period && !each->awaited && !each->left)
                ask(each, nanoseconds(CLOCK_MONOTONIC));
        }
        if (!asking) {
            int busy = 0;
            for (int i = 0; i < given.connections; i++)
                busy += all[i].awaited > 0;
            if (!busy)
                return;
        }
    }
    if (!asking)
        fail("requests were not answered within 5 seconds of the end");
}

static void
hold(connection *all)
{
    for (int i = 0; i < given.connections; i++) {
        struct timeval patience = {.tv_sec = 5};
        all[i].fd = dial();
        shake(all[i].fd);
        setsockopt(all[i].fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        all[i].awaited = 1;
        if (send(all[i].fd, given.request.bytes, given.request.size, MSG_NOSIGNAL)
            != (ssize_t)given.request.size)
            fail("sending: %s", strerror(errno));
        while (all[i].awaited) {
            uint64_t before = reads;
            take(all + i);
            if (reads == before)
                fail("connection %d was not answered in 5 seconds", i + 1);
        }
    }
    printf("{\"held\": %d}\n", given.connections);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    int kept = 0;
    for (int i = 0; i < given.connections; i++) {
        char byte;
        ssize_t got = recv(all[i].fd, &byte, 1, MSG_DONTWAIT);
        /* What comes unasked is a ping, or the end. */
        kept += got < 0 ? errno == EAGAIN : got > 0 && given.handshake.size;
    }
    printf("{\"kept\": %d}\n", kept);
}

static void
measure(connection *all)
{
    clockid_t clocks[MAX_PIDS];
    uint64_t spent[MAX_PIDS];
    for (int i = 0; i < given.pid_count; i++)
        clocks[i] = clock_of(given.pids[i]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < given.connections; i++) {
        all[i].fd = dial();
        shake(all[i].fd);
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = all + i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event))
            fail("epoll_ctl: %s", strerror(errno));
    }
    uint64_t start = nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < given.connections; i++) {
        if (given.rate > 0)
            all[i].due = start + (uint64_t)(1e9 * i / given.rate);
        else
            ask(all + i, nanoseconds(CLOCK_MONOTONIC));
    }
    turn(all, start + (uint64_t)(given.warm_up * 1e9), true);
    uint64_t before = answers, before_bytes = bytes_in, before_reads = reads;
    memset(histogram, 0, sizeof histogram);
    longest = 0;
    for (int i = 0; i < given.pid_count; i++)
        spent[i] = nanoseconds(clocks[i]);
    uint64_t own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t began = nanoseconds(CLOCK_MONOTONIC);
    turn(all, began + (uint64_t)(given.seconds * 1e9), true);
    uint64_t ended = nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < given.pid_count; i++)
        spent[i] = nanoseconds(clocks[i]) - spent[i];
    own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - own;
    uint64_t counted = answers - before, counted_bytes = bytes_in - before_bytes;
    uint64_t counted_reads = reads - before_reads;
    double p50 = percentile(0.5), p90 = percentile(0.9), p99 = percentile(0.99);
    double p999 = percentile(0.999), most = (double)longest / 1e3;
    turn(all, nanoseconds(CLOCK_MONOTONIC) + 5000000000u, false);
    if (!counted)
        fail("no answer in %.1f seconds", given.seconds);
    uint64_t server = 0;
    for (int i = 0; i < given.pid_count; i++)
        server += spent[i];
    printf("{\"answers\": %" PRIu64 ", \"seconds\": %.6f, \"server_cpu\": %.6f, \"own_cpu\": %.6f, "
           "\"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f, "
           "\"bytes\": %" PRIu64 ", \"reads\": %" PRIu64 ", \"answer_size\": %zu, "
           "\"parsed\": %" PRIu64 "}\n",
           counted, (double)(ended - began) / 1e9, (double)server / 1e9, (double)own / 1e9,
           p50, p90, p99, p999, most, counted_bytes, counted_reads, model.size, parsed);
}

int
main(int argc, char **argv)
{
    arguments(argc, argv);
    if (given.core >= 0) {
        cpu_set_t cores;
        CPU_ZERO(&cores);
        CPU_SET((size_t)given.core, &cores);
        if (sched_setaffinity(0, sizeof cores, &cores))
            fail("core %d: %s", given.core, strerror(errno));
    }
    if (given.handshake.size) {
        model.bytes = given.body.bytes;
        model.size = model.date = model.after_date = given.body.size;
    }
    requests.size = given.request.size * (size_t)given.depth;
    requests.bytes = malloc(requests.size);
    connection *all = calloc((size_t)given.connections, sizeof *all);
    if (!requests.bytes || !all)
        fail("no memory");
    for (int i = 0; i < given.depth; i++)
        memcpy(requests.bytes + (size_t)i * given.request.size, given.request.bytes,
               given.request.size);
    if (given.hold)
        hold(all);
    else
        measure(all);
    return 0;
}
