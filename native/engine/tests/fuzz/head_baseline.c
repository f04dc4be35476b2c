/* The reader of heads without what newer processors have, to be compared with the others. */
#define CV_NO_AVX2
#define cv_head_read cv_head_read_baseline
#define cv_head_field cv_head_field_baseline
#include "../../csrc/head.c"
