/* The same outcome for a chunked body however its bytes come. */
#include "chunked.h"
#include "pieces.h"

typedef struct cv_outcome {
    int result;
    uint8_t *data;
    size_t size, taken;
} cv_outcome;

static cv_outcome decode_in_pieces(const uint8_t *at, size_t size, enum cv_cut cut,
                                   const cv_chunked_limits *limits)
{
    cv_dice dice = cv_dice_of(at, size);
    cv_chunked state = {0};
    cv_outcome outcome = {.data = cv_exact(at, size)};
    while (outcome.result == CV_CHUNKED_MORE && outcome.taken < size) {
        size_t piece = cv_piece(&dice, cut, size - outcome.taken);
        uint8_t *bytes = cv_exact(at + outcome.taken, piece);
        size_t data, taken;
        outcome.result = cv_chunked_decode(&state, limits, bytes, piece, &data, &taken);
        PROMISE(data <= taken && taken <= piece);
        PROMISE(outcome.result != CV_CHUNKED_MORE || taken == piece);
        PROMISE(state.overhead <= limits->max_overhead + 1);
        PROMISE(state.trailer_size <= limits->max_trailer_size + 1);
        memcpy(outcome.data + outcome.size, bytes, data);
        outcome.size += data;
        outcome.taken += taken;
        free(bytes);
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    cv_dice dice = cv_dice_of(bytes, size);
    const cv_chunked_limits limits[] = {
        {.max_overhead = 16384, .max_trailer_size = 8192, .max_trailer_fields = 64},
        {.max_overhead = cv_throw(&dice, 60),
         .max_trailer_size = cv_throw(&dice, 60),
         .max_trailer_fields = (uint16_t)cv_throw(&dice, 4)},
    };
    for (size_t l = 0; l < 2; l++) {
        cv_outcome whole = decode_in_pieces(bytes, size, CV_CUT_NEVER, &limits[l]);
        if (whole.result == CV_CHUNKED_DONE)
            PROMISE(whole.taken >= 5 && memcmp(bytes + whole.taken - 4, "\r\n\r\n", 4) == 0);
        for (int cut = CV_CUT_ALWAYS; cut < CV_CUTS; cut++) {
            cv_outcome split = decode_in_pieces(bytes, size, cut, &limits[l]);
            PROMISE(split.result == whole.result && split.taken == whole.taken);
            PROMISE(split.size == whole.size && memcmp(split.data, whole.data, whole.size) == 0);
            free(split.data);
        }
        free(whole.data);
    }
    return 0;
}
