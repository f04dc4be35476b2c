/* Scripts as in fuzz_engine.c, by clients of WebSocket over HTTP/1.1. */
#define CV_FUZZ_CHANNELS
#include "fuzz_engine.c"
