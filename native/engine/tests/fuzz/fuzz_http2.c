/* Scripts as in fuzz_engine.c, by clients that speak HTTP/2. */
#define CV_FUZZ_HTTP2
#include "fuzz_engine.c"
