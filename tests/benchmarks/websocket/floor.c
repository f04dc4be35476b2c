/* The least that a broadcast costs: one `send` of bytes that exist for each member, and nothing else.
 *
 *     floor PORT FRAME
 *
 * It listens on the loopback. What asks for /members is one and gets the frame of "joined"; what asks for /control
 * is told so too, and each time something comes from it the bytes of FRAME, a file, go to every member.
 * Handshakes are not judged. /json is answered, so that whoever starts it knows that it serves.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEMBERS = 65536, HEAD = 4096 };

static const char UPGRADED[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n\r\n\x81\x06joined";
static const char SERVES[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             "Content-Length: 19\r\n\r\n{\"message\":\"hello\"}";

static int members[MEMBERS], count;
static char frame[1 << 20];
static size_t frame_size;

static void
fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
say(int fd, const char *bytes, size_t size)
{
    if (send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
        fail("sending");
}

/* A newcomer's head is read to its end at once: clients here send theirs whole. Returns the control's socket. */
static int
let_in(int listener, int control)
{
    char head[HEAD];
    size_t size = 0;
    int yes = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        fail("accepting");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (!memmem(head, size, "\r\n\r\n", 4)) {
        ssize_t got = recv(fd, head + size, sizeof head - size, 0);
        if (got <= 0) {
            close(fd);
            return control;
        }
        size += (size_t)got;
    }
    if (size > 13 && !memcmp(head, "GET /members ", 13) && count < MEMBERS) {
        say(fd, UPGRADED, sizeof UPGRADED - 1);
        members[count++] = fd;
    } else if (size > 13 && !memcmp(head, "GET /control ", 13)) {
        say(fd, UPGRADED, sizeof UPGRADED - 1);
        return fd;
    } else {
        say(fd, SERVES, sizeof SERVES - 1);
        close(fd);
    }
    return control;
}

int
main(int argc, char **argv)
{
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (!file)
        fail("floor PORT FRAME");
    frame_size = fread(frame, 1, sizeof frame, file);
    fclose(file);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((unsigned short)atoi(argv[1]))};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 1024))
        fail("listening");
    struct pollfd both[2] = {{.fd = listener, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    for (;;) {
        if (poll(both, 2, -1) < 0)
            fail("waiting");
        if (both[0].revents)
            both[1].fd = let_in(listener, both[1].fd);
        else if (both[1].revents) {
            char asked[64];
            if (recv(both[1].fd, asked, sizeof asked, 0) <= 0) {
                close(both[1].fd);
                both[1].fd = -1;
                continue;
            }
            for (int i = 0; i < count; i++)
                say(members[i], frame, frame_size);
        }
    }
}
