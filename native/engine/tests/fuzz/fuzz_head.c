/* The same outcome for a head however its bytes come and whichever instructions read it, and what a
 * head that was accepted promises. */
#include "head.h"
#include "pieces.h"

typedef int cv_reading(uint8_t *at, size_t size, const cv_head_limits *limits,
                       cv_head_progress *progress, cv_head *head);

cv_reading cv_head_read_portable, cv_head_read_baseline;

typedef struct cv_outcome {
    int result;
    cv_head head;
    uint8_t *bytes;
} cv_outcome;

static cv_outcome read_in_pieces(cv_reading *reading, const uint8_t *at, size_t size,
                                 enum cv_cut cut, const cv_head_limits *limits)
{
    cv_dice dice = cv_dice_of(at, size);
    cv_head_progress progress = {0};
    cv_outcome outcome = {0};
    size_t there = 0;
    do {
        size_t next = there + cv_piece(&dice, cut, size - there);
        uint8_t *grown = cv_exact(at, next);
        if (there != 0)
            memcpy(grown, outcome.bytes, there);
        free(outcome.bytes);
        outcome.bytes = grown;
        there = next;
        memset(&outcome.head, 0xa5, sizeof outcome.head);
        outcome.result = reading(grown, there, limits, &progress, &outcome.head);
        PROMISE(progress.line <= progress.scanned && progress.scanned <= there);
    } while (outcome.result == 0 && there < size);
    return outcome;
}

static void same(const cv_outcome *one, const cv_outcome *other)
{
    PROMISE(one->result == other->result);
    if (one->result != 1)
        return;
    PROMISE(memcmp(&one->head, &other->head, sizeof one->head) == 0);
    PROMISE(memcmp(one->bytes, other->bytes, one->head.size) == 0);
}

static int inside(const cv_head *head, cv_span span)
{
    return (uint32_t)span.at + span.size <= head->size - 2;
}

static void check_head(const cv_outcome *outcome, const cv_head_limits *limits)
{
    const cv_head *head = &outcome->head;
    const uint8_t *bytes = outcome->bytes;
    PROMISE(head->size <= limits->max_size && head->fields <= limits->max_fields);
    PROMISE(memcmp(bytes + head->size - 4, "\r\n\r\n", 4) == 0);
    PROMISE(inside(head, head->method_name) && inside(head, head->target));
    PROMISE(inside(head, head->path) && inside(head, head->query));
    PROMISE(inside(head, head->host) && inside(head, head->content_type));
    PROMISE(cv_is_token(bytes, head->method_name.size) && head->path.size > 0);
    PROMISE(bytes[head->path.at] == '/' || head->method == CV_METHOD_OPTIONS);
    PROMISE(head->minor == 0 || head->host.size > 0);
    PROMISE((head->flags & CV_HEAD_CHUNKED) == 0 || (head->flags & CV_HEAD_LENGTH) == 0);
    PROMISE((head->flags & CV_HEAD_CHUNKED) == 0 || head->minor == 1);

    /* Line by line, as anybody would. */
    size_t at = 0;
    unsigned fields = 0;
    while (memcmp(bytes + at, "\r\n", 2) != 0) {
        const uint8_t *end = memchr(bytes + at, '\n', head->size - at);
        size_t size = (size_t)(end - bytes) - at;
        PROMISE(end != NULL && size >= 2 && end[-1] == '\r');
        PROMISE(cv_is_value(bytes + at, size - 1));
        if (at != 0) {
            const uint8_t *colon = memchr(bytes + at, ':', size);
            PROMISE(colon != NULL && cv_is_token(bytes + at, (size_t)(colon - bytes) - at));
            for (const uint8_t *name = bytes + at; name < colon; name++)
                PROMISE(*name < 'A' || *name > 'Z');
            cv_span value;
            PROMISE(cv_head_field(bytes, head, (const char *)bytes + at,
                                  (size_t)(colon - bytes) - at, (cv_span){0, 0}, &value) == 1);
            PROMISE(inside(head, value) && cv_is_value(bytes + value.at, value.size));
            fields++;
        }
        at += size + 1;
    }
    PROMISE(at + 2 == head->size && fields == head->fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static cv_reading *const readings[] = {cv_head_read, cv_head_read_baseline,
                                           cv_head_read_portable};
    cv_dice dice = cv_dice_of(bytes, size);
    const cv_head_limits limits[] = {
        {.max_size = 16384, .max_fields = 100},
        {.max_size = 1 + cv_throw(&dice, 200), .max_fields = (uint16_t)cv_throw(&dice, 8)},
    };
    for (size_t l = 0; l < 2; l++) {
        cv_outcome whole =
            read_in_pieces(cv_head_read, bytes, size, CV_CUT_NEVER, &limits[l]);
        if (whole.result == 1) {
            check_head(&whole, &limits[l]);
            /* What was read can be read again, and without what follows. */
            cv_outcome again = read_in_pieces(cv_head_read, whole.bytes, whole.head.size,
                                              CV_CUT_NEVER, &limits[l]);
            same(&whole, &again);
            free(again.bytes);
        }
        for (size_t r = 0; r < sizeof readings / sizeof readings[0]; r++) {
            for (int cut = CV_CUT_NEVER; cut < CV_CUTS; cut++) {
                if (cut == CV_CUT_ALWAYS && size > 4096)
                    continue; /* copies would take their time */
                cv_outcome split = read_in_pieces(readings[r], bytes, size, cut, &limits[l]);
                same(&whole, &split);
                free(split.bytes);
            }
        }
        free(whole.bytes);
    }
    return 0;
}
