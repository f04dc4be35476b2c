/* The reader of heads without SIMD, to be compared with the others. */
#define CV_NO_SIMD
#define cv_head_read cv_head_read_portable
#define cv_head_field cv_head_field_portable
#include "../../csrc/head.c"
