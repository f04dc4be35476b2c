/* What the files of WebSocket share among themselves. */
#ifndef COVET_WEBSOCKET_PARTS_H
#define COVET_WEBSOCKET_PARTS_H

#include "websocket.h"

const cv_channel_limits *cv_limits_of(const cv_core *core, const cv_websocket *ws);
/* The set with these limits, with one user more; -1: there are too many others. */
int cv_limits_join(cv_core *core, const cv_channel_limits *limits);

/* What inflates the message that begins; NULL: there is no memory. */
cv_inflater *cv_inflater_take(cv_core *core, cv_websocket *ws);
/* The message is over. */
void cv_inflater_give(cv_core *core, cv_websocket *ws);

/* Compress with nothing before, for any client whose server's window is as large. Returns the size, 0:
 * it is not worth it. */
size_t cv_deflate_alone(cv_core *core, int bits, const uint8_t *from, size_t size, uint8_t *to);
/* Compress for this client. */
size_t cv_deflate_on(cv_core *core, cv_websocket *ws, const uint8_t *from, size_t size, uint8_t *to);

/* In the connection's turn. */
void cv_frame_put(cv_core *core, cv_connection *c, unsigned first, const uint8_t *payload,
                    size_t size);
/* Once; what the client sends from then on goes nowhere. */
void cv_close_send(cv_core *core, cv_connection *c, cv_websocket *ws, unsigned code,
                   const uint8_t *reason, size_t size);

/* Python is to hear of the end, unless it has. */
void cv_tell_closed(cv_core *core, cv_exchange *x, unsigned code);
/* What has come and was not handed out is thrown away. */
void cv_stop_reading(cv_core *core, cv_connection *c, cv_websocket *ws);

#endif
