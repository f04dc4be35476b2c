/* WebSocket frames (RFC 6455, 5): their heads, their masks, and what a close frame says. */
#ifndef COVET_FRAME_H
#define COVET_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum cv_opcode {
    CV_FRAME_CONTINUATION = 0,
    CV_FRAME_TEXT = 1,
    CV_FRAME_BINARY = 2,
    CV_FRAME_CLOSE = 8,
    CV_FRAME_PING = 9,
    CV_FRAME_PONG = 10
};

enum cv_frame_bit { CV_FRAME_FIN = 0x80, CV_FRAME_RSV1 = 0x40 };

enum {
    CV_FRAME_HEAD = 14, /* at most, with the mask's key */
    CV_FRAME_CONTROL = 125 /* payload of a control frame at most */
};

/* Why a connection is closed (RFC 6455, 7.4.1). */
enum cv_close_code {
    CV_CLOSE_NORMAL = 1000,
    CV_CLOSE_AWAY = 1001,
    CV_CLOSE_PROTOCOL = 1002,
    CV_CLOSE_NONE = 1005, /* never sent: a close frame without a code */
    CV_CLOSE_ABNORMAL = 1006, /* never sent: no close frame */
    CV_CLOSE_NOT_TEXT = 1007,
    CV_CLOSE_POLICY = 1008,
    CV_CLOSE_TOO_BIG = 1009,
    CV_CLOSE_FAILED = 1011
};

/* The head of a client's frame. */
typedef struct cv_frame {
    uint64_t size; /* of the payload */
    uint8_t key[4];
    uint8_t opcode;
    uint8_t fin;
    uint8_t rsv1;
    uint8_t head; /* bytes it takes */
} cv_frame;

/* Read a head of which `size` bytes are there. Returns 1, 0 if more are needed, or -1: it breaks the
 * protocol, which is said as soon as it shows. */
int cv_frame_read(const uint8_t *at, size_t size, cv_frame *frame);

/* The head of a server's frame; returns its size, at most 10. `first`: opcode and bits. */
size_t cv_frame_head(uint8_t *to, unsigned first, uint64_t size);

/* Put unmasked bytes at `to`, which is `from` or lies before it. `at` counts the payload's bytes before
 * these. */
void cv_frame_unmask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *key, uint64_t at);

/* Whether a close frame may say this. */
int cv_close_code_is_valid(unsigned code);

#endif
