/* What Python sees of the engine. The lines between the two marks are given to cffi as they are. */
#ifndef COVET_ENGINE_H
#define COVET_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* An engine is used by one thread at a time. Times are seconds on CLOCK_MONOTONIC where they are
 * doubles. Offsets are from the arena's first byte; the arena never moves. */

enum cv_limit {
    CV_PARAMS = 8, /* path parameters of one route */
    CV_ARGUMENTS = 16, /* arguments of one route that are read here */
    CV_ARGUMENT_BYTES = 124, /* and what they take */
    CV_EVENTS = 1024 /* events of one poll */
};

typedef struct cv_options {
    uint32_t max_connections; /* beyond it accepting pauses */
    uint32_t max_in_flight; /* requests at once that Python holds; beyond it nothing more is parsed */
    uint32_t max_pipelined; /* requests of one connection at once */
    uint32_t max_header_bytes; /* request line and fields, at most 65,535 */
    uint32_t max_fields;
    uint32_t max_chunk_overhead;
    uint32_t block_size; /* of one input buffer; raised to hold a whole head */
    uint64_t arena_size; /* of all input buffers: address space, touched only where used */
    uint32_t high_water; /* bytes of answers that may wait for a slow client before a stream pauses */
    uint32_t low_water;
    uint32_t work; /* requests parsed for one connection before others get a turn */
    double header_timeout; /* for a whole head, from its first byte */
    double idle_timeout; /* between two requests, and before the first */
    double read_timeout; /* the longest pause while a body arrives */
    double body_patience; /* for a body that is held back; then Python gets what there is */
    double write_timeout; /* the longest pause of a client that does not read its answer */
    double linger; /* while stopping: for connections between two requests */
    uint8_t access_log; /* collect lines for cv_engine_log */
    uint32_t max_files; /* open at once; beyond it: 503 */
    /* WebSocket */
    uint8_t compress_keeps_out, compress_keeps_in; /* messages may refer to those before them */
    uint8_t compress_bits_out, compress_bits_in; /* of the windows: 9 to 15, 8 to 15 */
    uint8_t compress_level, compress_memory; /* 1 to 9 */
    uint32_t max_unread; /* messages of a client that Python has not taken; then no more are read */
    uint8_t http2; /* spoken as well, if libnghttp2 is there */
    uint32_t max_streams; /* of one HTTP/2 connection at once */
} cv_options;

/* What ACCEPT says of one channel; its payload begins with it. Timeouts in seconds; 0: never. */
typedef struct cv_channel_limits {
    double message_timeout; /* for a whole message, from its first byte; then it is closed 1002 */
    double ping_interval; /* of silence; then the client is asked for a pong */
    double ping_timeout; /* for anything to come after that; then the connection ends */
    double close_timeout; /* for the client's close frame, after ours */
    uint32_t max_message; /* bytes of a client's message, decoded; beyond it 1009 */
    uint32_t max_fragments; /* frames of a message; beyond it 1009 */
    uint32_t max_control_frames; /* pings, pongs and empty fragments in ten seconds; beyond it 1008 */
    uint32_t max_queue_bytes, max_queue_messages; /* that wait for the client: see cv_engine_broadcast */
    uint32_t compress_from; /* bytes; smaller messages are sent as they are */
    uint32_t compress; /* whether to agree to permessage-deflate, where zlib is there */
    uint32_t reserved;
} cv_channel_limits;

/* Written by the engine, read by Python through a view over the whole array. 24 bytes. */
typedef struct cv_event {
    uint64_t handle; /* of a request: slot in the low half, generation in the high half */
    uint32_t at; /* REQUEST: offset of its cv_request; BODY: offset of the bytes */
    uint32_t size; /* BODY: how many; ROOM: bytes that have left; REQUEST: bytes of a complete body */
    uint16_t route; /* REQUEST */
    uint8_t kind; /* enum cv_event_kind */
    uint8_t flags; /* enum cv_event_flag */
    uint32_t extra; /* GONE: why, enum cv_gone; REFUSED: status; TIMER: the number it was armed with;
                     * CLOSED: a close code */
} cv_event;

enum cv_event_kind {
    CV_REQUEST = 1, /* a request for Python */
    CV_BODY = 2, /* the piece of the body that was asked for; valid until the next poll */
    CV_ROOM = 3, /* bytes of a streamed answer have left */
    CV_GONE = 4, /* the client has left; the handle stays valid for the one answer nobody reads */
    CV_TIMER = 5, /* a call's deadline has come */
    CV_EMPTY = 6, /* stopping: no connection is left */
    CV_LOG = 7, /* access-log lines are waiting */
    CV_REFUSED = 8, /* a reply could not be sent as it is (a line end in a field); 500 was sent */
    CV_FLOODED = 9, /* clients were cut off for sending too much of no use: see cv_engine_floods */
    CV_MESSAGE = 40, /* a WebSocket message, or a piece of one; valid until the next poll */
    CV_CLOSED = 41, /* no message follows; `at` and `size`: the reason, UTF-8, valid until the next poll.
                     * The handle stays valid for the LEAVE that Python owes */
    CV_DRAINED = 42, /* at most half of what may wait for the client does; DRAIN asks for it */
    CV_PONG = 43 /* the answer to a PING with the number `extra` */
};

enum cv_event_flag {
    CV_BODY_COMPLETE = 1, /* REQUEST: the whole body is in the arena; BODY: this is its end */
    CV_BODY_NONE = 2, /* REQUEST: there is none */
    CV_HEAD_ONLY = 4, /* REQUEST: the method is HEAD */
    CV_BODY_BROKEN = 8, /* BODY: the body ended early or was malformed; no more comes */
    CV_BODY_JSON = 16, /* REQUEST: Content-Type is "application/json" and no more, and comes once; there is
                        * no Content-Encoding */
    CV_UPGRADE = 32 /* REQUEST: a well-formed handshake of WebSocket, which ACCEPT may answer */
};

/* Of MESSAGE, SEND and cv_engine_broadcast. */
enum cv_message_flag {
    CV_MESSAGE_TEXT = 1, /* UTF-8; else binary */
    CV_MESSAGE_MORE = 2, /* MESSAGE: not the last piece */
    CV_MESSAGE_PLAIN = 4 /* to be sent: not to be compressed */
};

enum cv_gone { CV_GONE_CLOSED = 1, CV_GONE_TIMEOUT = 2, CV_GONE_MALFORMED = 3, CV_GONE_STOPPED = 4 };

/* In the arena at `event.at`, until the request is answered. Offsets in spans are from `head`. */
typedef struct cv_request {
    uint32_t head; /* offset of the head's first byte */
    uint32_t head_size; /* with the empty line; names are in lower case */
    uint32_t body; /* offset of a complete body */
    uint32_t body_size;
    uint64_t content_length; /* all ones if it was not given */
    uint16_t method_at, method_size;
    uint16_t target_at, target_size;
    uint16_t path_at, path_size;
    uint16_t query_at, query_size;
    uint16_t host_at, host_size;
    uint16_t content_type_at, content_type_size;
    uint16_t head_flags; /* enum cv_head_flag */
    uint8_t minor; /* HTTP/1.minor; 2: HTTP/2, whose head reads as one of HTTP/1.1 */
    uint8_t params; /* how many path parameters */
    uint16_t param[16]; /* at, size of each */
    uint16_t port; /* of the peer, 0 if it has none */
    uint8_t family; /* 4, 6, or 0 for none */
    uint8_t listener; /* number of the listening socket it came by */
    uint8_t peer[16]; /* the peer's address in network order, the first 4 bytes for family 4 */
    double arrived; /* when the head was complete */
    int32_t absent; /* the arguments of cv_routes_take: a bit for each that was not given; -1: none was
                     * read, since there are none or one of them is not plain */
    uint8_t arguments[124]; /* CV_ARGUMENT_BYTES */
} cv_request;

/* One reply, followed by `size` bytes of payload; the next begins right behind. 16 bytes. */
typedef struct cv_reply {
    uint64_t handle;
    uint32_t size;
    uint16_t code; /* ANSWER: a template; HEAD: a status */
    uint8_t op; /* enum cv_op */
    uint8_t flags; /* enum cv_reply_flag */
} cv_reply;

enum cv_op {
    CV_ANSWER = 1, /* template `code`, the payload is the body: complete */
    CV_REPLY = 2, /* status `code`; payload: u32 size of the fields, the fields ("name: value" lines,
                     each with CRLF, without date, connection and transfer-encoding; content-length
                     only where it is known and more is to come), then the first bytes of the body.
                     Complete unless CV_MORE: then chunked, or until close for HTTP/1.0 */
    CV_CHUNK = 3, /* more of a body; CV_MORE: not the last */
    CV_ABORT = 4, /* the answer cannot be completed: cut the connection so that it shows; `code` is the
                   * status for the access log, 0: what was sent */
    CV_READ = 5, /* the handler wants the next piece of the body: one BODY event follows */
    CV_ARM = 6, /* payload: u32 number, u32 milliseconds: a TIMER event, unless answered before */
    CV_DROP = 7, /* no answer follows and none is needed: the client is gone */
    CV_TRAILERS = 8, /* payload: fields; ends a chunked answer */
    CV_ACCEPT = 40, /* payload: cv_channel_limits, then fields. Answers an UPGRADE with 101, by HTTP/2 with 200; its
                     * handle is a channel's from here on, and only what follows here has to do with channels */
    CV_SEND = 41, /* a message: enum cv_message_flag, the payload as it is */
    CV_SHUT = 42, /* a close frame with `code`; payload: the reason, at most 123 bytes of UTF-8 */
    CV_TAKEN = 43, /* payload: u32 messages, u32 bytes of them that Python needs room for no longer */
    CV_DRAIN = 44, /* one DRAINED follows, unless the channel is closed before */
    CV_PING = 45, /* payload: u32 number, not 0; its PONG follows, unless another PING comes before it */
    CV_CUT = 46, /* end the connection so that the client sees it break */
    CV_LEAVE = 47, /* the last of a channel: as SHUT if it is open, and its handle is no longer valid */
    CV_FILE = 50 /* more of a body that is in a file; payload: cv_file_part. CV_CHUNK ends it */
};

/* 24 bytes. */
typedef struct cv_file_part {
    int32_t fd; /* the engine's from now on, whatever becomes of the reply */
    uint32_t nothing;
    uint64_t at, size;
} cv_file_part;

enum cv_reply_flag {
    CV_MORE = 1,
    CV_CLOSE = 2 /* close the connection after this answer */
};

enum cv_route_flag {
    CV_ROUTE_WAIT = 1 /* hold the request back for a moment, until a body that fits a block is complete */
};

/* Counts since the engine was made, read by Python through a view. All are uint64_t. */
typedef struct cv_counters {
    uint64_t accepted, connections, refused_connections; /* connections: open now */
    uint64_t requests, native, in_flight; /* in_flight: held by Python now */
    uint64_t status[6]; /* answers by hundreds: [0] unknown, [1] 1xx, ... [5] 5xx */
    uint64_t bytes_in, bytes_out;
    uint64_t malformed, header_timeouts, idle_timeouts, read_timeouts, write_timeouts;
    uint64_t disconnects; /* clients that left before their answer */
    uint64_t aborted; /* answers that were cut */
    uint64_t stale; /* replies whose handle was no longer valid */
    uint64_t polls, submits;
    uint64_t blocks; /* input buffers in use now */
    uint64_t log_lost; /* access-log lines that found no room */
    uint64_t tls_accepted, tls_resumed, tls_failed; /* handshakes; those of the first that took up a session */
    uint64_t files; /* open now: those that are sent, and those kept for the next who asks */
    uint64_t http2_connections;
    uint64_t http2_resets, http2_resets_sent; /* streams reset by clients and by us */
    uint64_t http2_refused; /* streams for which there was no room */
    uint64_t http2_floods; /* connections ended because of too many frames without use */
    uint64_t service[96]; /* answers by the time from readable to written, in units of 32 ns: one bucket
                             each for 0 to 3, then four to every power of two; the last has no end */
    uint64_t websockets; /* open now */
    uint64_t messages_in, messages_out;
    uint64_t messages_left_out; /* of broadcasts, for clients that had no room */
    uint64_t ping_timeouts;
} cv_counters;

typedef struct cv_engine cv_engine;
typedef struct cv_routes cv_routes;

void cv_options_default(cv_options *options);

/* NULL if the system refuses; errno says why. */
cv_engine *cv_engine_new(const cv_options *options);
void cv_engine_free(cv_engine *engine);

/* Whether HTTP/2 is spoken: it is wanted, and the library is there. */
int cv_engine_speaks_http2(const cv_engine *engine);

int cv_engine_fd(const cv_engine *engine); /* readable when poll has something to do */
uint8_t *cv_engine_arena(const cv_engine *engine, uint64_t *size);
cv_event *cv_engine_events(const cv_engine *engine); /* CV_EVENTS of them */
cv_counters *cv_engine_counters(const cv_engine *engine);

/* Adopt a listening, non-blocking socket; it stays the caller's to close, after remove. Any number of
 * processes may poll the same socket. Returns 0 or -errno. */
int cv_engine_listen(cv_engine *engine, int fd);

/* TLS. libssl and libcrypto of OpenSSL 3 are found when they are first needed; `folder` is where they
 * are, or "" where the system looks. Returns 0 or -1. Where any of these functions fails, cv_tls_problem
 * says why: the text is good until the next call of one of them. */
int cv_tls_load(const char *folder);
const char *cv_tls_problem(void);
const char *cv_tls_version(void); /* of OpenSSL; "" before it is loaded */

typedef struct cv_tls cv_tls;
enum cv_tls_result {
    CV_TLS_BAD_CERTIFICATE = -1,
    CV_TLS_BAD_KEY = -2,
    CV_TLS_BAD_OCSP = -3,
    CV_TLS_BAD_AUTHORITIES = -4
};

/* What connections are made with: at first nothing. Whoever makes it gives up this hold on it with free. */
cv_tls *cv_tls_new(void);
void cv_tls_free(cv_tls *tls);

/* A certificate (PEM, with those between it and the root behind it), its key (PEM, with this password or
 * NULL) and an OCSP response (DER) or none. The first is shown to clients that name no host of another;
 * another one to those that name its host: "*." at the beginning stands for one label. `minimum` is 12 or 13, for TLS 1.2 or 1.3. Returns 0 or one of the results. */
int cv_tls_add(cv_tls *tls, const char *name, int minimum, const char *chain, size_t chain_size,
               const char *key, size_t key_size, const char *password, const uint8_t *ocsp,
               size_t ocsp_size);

/* Ask clients for a certificate that one of these authorities (PEM) has signed. All were added before. */
int cv_tls_ask(cv_tls *tls, const char *authorities, size_t size, int required);

/* Speak TLS on all connections from here on, also of sockets that are adopted later. Again: new ones are
 * made with what is new, those that are there stay. Returns 0, or -1: no memory. */
int cv_engine_secure(cv_engine *engine, cv_tls *tls);

/* What the client of this request says by its certificate: entries of a byte, enum cv_certificate_entry,
 * two uint16_t, the sizes of a name and a value, and these. Returns the size, or 0: it has shown none, or
 * there is not enough room. */
enum cv_certificate_entry {
    CV_CERTIFICATE_DER = 1, /* all of it */
    CV_CERTIFICATE_SUBJECT = 2, /* an attribute's name and its value */
    CV_CERTIFICATE_SUBJECT_TOO = 3, /* of the same relative distinguished name as the one before */
    CV_CERTIFICATE_ISSUER = 4,
    CV_CERTIFICATE_ISSUER_TOO = 5,
    CV_CERTIFICATE_SERIAL = 6,
    CV_CERTIFICATE_NOT_AFTER = 7,
    CV_CERTIFICATE_DNS = 8,
    CV_CERTIFICATE_EMAIL = 9,
    CV_CERTIFICATE_URI = 10,
    CV_CERTIFICATE_ADDRESS = 11 /* 4 or 16 bytes */
};
size_t cv_engine_certificate(cv_engine *engine, uint64_t handle, uint8_t *into, size_t size);

/* Serve with this table from now on; accepting and parsing begin. The engine keeps the table, and
 * frees it when another takes its place and its last answer is written. */
void cv_engine_begin(cv_engine *engine, cv_routes *routes);

/* Connections live and are accepted, but no new request is parsed until the next begin. */
void cv_engine_hold(cv_engine *engine);

/* Accept what waits in the backlog, then forget the listening sockets; answers carry Connection: close;
 * one EMPTY event follows when no connection is left. */
void cv_engine_stop(cv_engine *engine);

/* End every connection at once. */
void cv_engine_close(cv_engine *engine);

/* Do what can be done without waiting. Returns how many events there are: 0 to CV_EVENTS. The events
 * of the last poll are overwritten. */
int cv_engine_poll(cv_engine *engine);

/* Apply replies and write. Returns 0, or -1 if the buffer is not a whole number of replies (those
 * before the bad one are applied). */
int cv_engine_submit(cv_engine *engine, const uint8_t *replies, size_t size);

/* Whether this request still waits for its answer. */
int cv_engine_is_current(const cv_engine *engine, uint64_t handle);

/* What waits for a channel's client: bytes of messages as they are sent, and 2^40 times the messages (a few more than there are, of
 * those that have just left); 0 where there is none. */
uint64_t cv_engine_waiting(const cv_engine *engine, uint64_t handle);

/* Send one message to many channels; `flags` as of SEND. It has no place where something waits and
 * neither limit would be kept. Puts the indices of those that are closed or have no place to `left_out`,
 * which has place for `count`; returns how many. */
uint32_t cv_engine_broadcast(cv_engine *engine, const uint64_t *handles, uint32_t count, int flags,
                             const uint8_t *message, size_t size, uint32_t *left_out);

/* Move waiting access-log lines (JSON, ASCII, each ended by a line feed) out; returns the size, 0: none. */
size_t cv_engine_log(cv_engine *engine, uint8_t *into, size_t size);

enum cv_flood {
    CV_FLOOD_NONE,
    CV_FLOOD_RESETS, /* streams of HTTP/2 reset, by either side */
    CV_FLOOD_CONTROL, /* its frames that carry nothing for the application */
    CV_FLOOD_WINDOWS, /* its windows opened in small steps */
    CV_FLOOD_HEADERS, /* a block of headers without an end */
    CV_FLOOD_CHANNEL /* control frames and empty fragments of WebSocket */
};

/* Who was cut off since the last report, of which there is one in ten seconds at most. */
typedef struct cv_floods {
    uint64_t count; /* connections */
    uint8_t why; /* of the first: enum cv_flood */
    uint8_t family; /* of its peer, as in cv_request */
    uint16_t port;
    uint8_t peer[16];
} cv_floods;

/* Take the report; its count is 0 where there is nothing to tell. */
void cv_engine_floods(cv_engine *engine, cv_floods *into);

/* Connections without sockets, for tests and other transports. All of it acts at once, but events come
 * with the next poll. Returns a connection number, or 0 if there are too many. */
uint64_t cv_engine_open(cv_engine *engine);
/* Returns how many bytes were taken: fewer if the connection is paused; -1: it is closed. */
int64_t cv_engine_feed(cv_engine *engine, uint64_t connection, const uint8_t *bytes, size_t size);
void cv_engine_feed_end(cv_engine *engine, uint64_t connection); /* the client sends no more */
/* Returns how many bytes were put into `into`; -1: nothing is left and the engine has closed. */
int64_t cv_engine_drain(cv_engine *engine, uint64_t connection, uint8_t *into, size_t size);
void cv_engine_drop(cv_engine *engine, uint64_t connection); /* the client resets */
/* Let this much time pass for every timeout, in seconds; tests need not wait. */
void cv_engine_advance(cv_engine *engine, double seconds);

/* Routes. Every function copies what it is given and returns 0 or an index; or -1: it was given what
 * cannot be, -2: too many, -3: no memory. */
cv_routes *cv_routes_new(void);
void cv_routes_free(cv_routes *routes); /* gives up this hold on it */

/* The head of answers whose body comes from Python: `fields` as in CV_REPLY. Returns its code. */
int cv_routes_add_template(cv_routes *routes, int status, const char *fields, size_t fields_size);

/* A complete answer. `etag` with its quotes, or size 0: then it is not conditional. Returns its number. */
int cv_routes_add_answer(cv_routes *routes, int status, const char *fields, size_t fields_size,
                         const char *body, size_t body_size, const char *etag, size_t etag_size);

/* What is at a path. The template's text is like "/books/{}/pages/{}"; `types` has a letter for each
 * parameter: 'i' a whole number, 'u' a UUID, 'd' a date, 's' anything but nothing; and for one at the
 * end: 'p' the rest of the path, which neither begins with a slash nor has a segment "." or "..", '*'
 * the same of any shape or empty. Where several match, the one named first here wins, and plain text
 * over all; where one of 'i', 'u' and 'd' stands alone it matches anything but nothing, unless it is
 * written as a capital in some template there. Returns the leaf's number, the same for the same path
 * and types; -2: too many parameters. */
int cv_routes_add_path(cv_routes *routes, const char *path, size_t path_size, const char *types);

/* Let a method of a leaf lead to Python (`route`, enum cv_route_flag) or to an answer. The method "" is
 * for those that are not there: the 405. HEAD falls back on GET, OPTIONS on the table's own answer. */
int cv_routes_set_route(cv_routes *routes, int leaf, const char *method, int route, int flags);
int cv_routes_set_answer(cv_routes *routes, int leaf, const char *method, int answer);

/* A folder whose files are answers. Texts end with a NUL, and are "" where there is none. */
typedef struct cv_folder_options {
    const char *path; /* of the folder; it may lead through links, what is below may not */
    const char *index; /* of a folder below it: a relative name */
    const char *fallback; /* what clients get that want a page, where nothing is found */
    const char *cache, *page_cache; /* Cache-Control of files, and of the index */
    const char *fields; /* of every answer, as in CV_REPLY */
    size_t fields_size;
    int missing, failed, busy; /* answers: 404, 412, and 503 where no file can be opened */
    uint8_t precompressed; /* look for .br, .zst and .gz beside a file */
    uint8_t hidden; /* serve names that begin with a dot */
    uint8_t queries; /* serve whatever the query is */
} cv_folder_options;

/* Returns the folder's number; -2: too many, or too much of `fields`. */
int cv_routes_add_folder(cv_routes *routes, const cv_folder_options *options);

/* The media type of names that end in a suffix, in lower case with its dot; "": of all others. */
int cv_routes_add_type(cv_routes *routes, const char *suffix, const char *type);

/* Let GET and HEAD of a leaf lead to the files of a folder: the one named by its only parameter, or
 * without one the index. What these cannot say leads to `route`. */
int cv_routes_set_folder(cv_routes *routes, int leaf, const char *method, int folder, int route);

/* Read an argument of a route's requests along with the head: path parameter `param`, or with -1 what
 * the query has by this (decoded) name. Type 'i' is up to 18 decimal digits: an int64_t, 8 bytes; 's' is
 * text: one byte with its size, then UTF-8, `size` bytes together. They come to cv_request.arguments, at
 * `at`; bits of cv_request.absent are in the order of these calls. Nothing is read if one of them is of
 * another form, comes twice or is too long, if the query has more than `most` pairs, or cannot be
 * decoded: Python then finds out by itself. -2: too many. */
int cv_routes_take(cv_routes *routes, int route, uint32_t most, int param, const char *name,
                   size_t name_size, int type, int at, int size);

/* The answers of the table: 404 for no such path, 400 for a path that cannot be decoded, 421 for a host
 * that is not allowed, and '*' (the character) for OPTIONS with an asterisk. */
int cv_routes_set_default(cv_routes *routes, int status, int answer);
int cv_routes_set_default_route(cv_routes *routes, int status, int route);

/* Answer requests for this host, whatever the port, and for others that were allowed; for no host
 * else, whatever the path. `name` is in lower case; one that begins with a dot stands for every name
 * below it. Where no host was ever allowed, all are. */
int cv_routes_allow_host(cv_routes *routes, const char *name, size_t size);

/* What becomes of a path that leads nowhere, but would with a slash more or less at its end. */
enum cv_slash {
    CV_SLASH_STRICT, /* it leads nowhere */
    CV_SLASH_IGNORE, /* it leads where the other does */
    CV_SLASH_REDIRECT /* it leads to `route`, unless the other refuses the method or it is OPTIONS */
};
int cv_routes_set_slash(cv_routes *routes, int slash, int route);

/* Every well-formed handshake of WebSocket leads to this route, whatever its path and host. */
void cv_routes_set_upgrade(cv_routes *routes, int route);

/* Instead of all that: every request leads to this route. */
void cv_routes_set_everything(cv_routes *routes, int route, int flags);

/* For tests: what a path leads to. Returns the route, or -answer - 1; params as in cv_request, but
 * counted from the path. */
int cv_routes_try(const cv_routes *routes, const char *method, const char *path, size_t path_size,
                  uint16_t *param, int *params);

/* cffi: end */

_Static_assert(sizeof(cv_event) == 24, "Python unpacks it");
_Static_assert(sizeof(cv_reply) == 16, "Python packs it");
_Static_assert(sizeof(cv_file_part) == 24, "Python packs it");
_Static_assert(sizeof(cv_request) == 240, "Python unpacks it");
_Static_assert(sizeof(cv_channel_limits) == 64, "Python packs it");

#endif
