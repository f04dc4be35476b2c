/* Output that waits for its turn or for a slow client: a chain of chunks. */
#ifndef COVET_QUEUE_H
#define COVET_QUEUE_H

#include <sys/uio.h>

#include "memory.h"

typedef struct cv_chunk cv_chunk;
typedef struct cv_file cv_file;

typedef struct cv_queue {
    cv_chunk *first, *last;
    uint64_t size; /* bytes waiting */
    uint32_t marks; /* at least as many as were set and have not left */
    int64_t around; /* of `size`, what is around what was marked */
} cv_queue;

/* Bytes that are still in a file. */
typedef struct cv_piece {
    cv_file *file;
    uint64_t at, size;
} cv_piece;
/* Bytes that any number of queues wait to send. */
typedef struct cv_shared {
    uint32_t holders;
    uint32_t size;
    uint8_t bytes[];
} cv_shared;

/* With one holder; NULL: there is no memory. */
cv_shared *cv_shared_new(cv_budget *budget, uint32_t size);
void cv_shared_release(cv_shared *shared, cv_budget *budget);

/* Copies the bytes. Returns 0, or -1 if there is no memory for them; what was there stays. */
int cv_queue_add(cv_queue *queue, cv_budget *budget, const void *bytes, size_t size);

/* Bytes of a file, which the queue holds until they have left. Returns as above. */
int cv_queue_add_file(cv_queue *queue, cv_budget *budget, cv_file *file, uint64_t at,
                      uint64_t size);

/* Whether what comes first is in a file, and which bytes. */
int cv_queue_file(const cv_queue *queue, cv_piece *piece);
/* The same with those of `shared` behind its first `from`, which are not copied. */
int cv_queue_add_shared(cv_queue *queue, cv_budget *budget, cv_shared *shared, uint32_t from);

/* Set marks behind the last byte. They leave with it, or a few bytes later, and so does what is said to be
 * around what they mark. */
void cv_queue_mark(cv_queue *queue, uint32_t marks, int64_t around);

/* Everything of `from` goes behind what is in `queue`. */
void cv_queue_splice(cv_queue *queue, cv_queue *from);

/* The first bytes, up to what is in a file, in at most `max` pieces. Returns how many pieces. */
int cv_queue_pieces(const cv_queue *queue, struct iovec *pieces, int max);

/* The first `size` bytes have left. */
void cv_queue_drop(cv_queue *queue, cv_budget *budget, uint64_t size);
void cv_queue_clear(cv_queue *queue, cv_budget *budget);

#endif
