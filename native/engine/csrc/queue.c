#include "queue.h"

#include <string.h>

#include "file.h"

struct cv_chunk {
    cv_chunk *next;
    cv_file *file; /* in which the bytes are; NULL: here */
    uint64_t from, to; /* those that wait */
    uint32_t size; /* of `bytes` */
    uint32_t marks;
    int64_t around;
    cv_shared *shared; /* whose bytes they are instead */
    uint8_t bytes[];
};

enum { SMALLEST = 4096 - 64, LARGEST = 1 << 20 };

cv_shared *cv_shared_new(cv_budget *budget, uint32_t size)
{
    cv_shared *shared = cv_budget_take(budget, sizeof *shared + size);
    if (shared) {
        shared->holders = 1;
        shared->size = size;
    }
    return shared;
}

void cv_shared_release(cv_shared *shared, cv_budget *budget)
{
    if (shared && --shared->holders == 0)
        cv_budget_give(budget, shared, sizeof *shared + shared->size);
}

/* A chunk at the end with room for so many bytes of its own. */
static cv_chunk *append(cv_queue *queue, cv_budget *budget, uint32_t room)
{
    cv_chunk *chunk = cv_budget_take(budget, sizeof *chunk + room);
    if (!chunk)
        return NULL;
    *chunk = (cv_chunk){.size = room};
    if (queue->last)
        queue->last->next = chunk;
    else
        queue->first = chunk;
    return queue->last = chunk;
}

int cv_queue_add(cv_queue *queue, cv_budget *budget, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size) {
        cv_chunk *last = queue->last;
        if (!last || last->file || last->shared || last->to == last->size) {
            uint32_t room = size > LARGEST ? LARGEST : (uint32_t)size;
            last = append(queue, budget, room < SMALLEST ? SMALLEST : room);
            if (!last)
                return -1;
        }
        size_t part = last->size - last->to;
        if (part > size)
            part = size;
        memcpy(last->bytes + last->to, at, part);
        last->to += part;
        queue->size += part;
        at += part;
        size -= part;
    }
    return 0;
}

int cv_queue_add_file(cv_queue *queue, cv_budget *budget, cv_file *file, uint64_t at, uint64_t size)
{
    cv_chunk *chunk = append(queue, budget, 0);
    if (!chunk)
        return -1;
    chunk->file = file;
    chunk->from = at;
    chunk->to = at + size;
    cv_file_hold(file);
    queue->size += size;
    return 0;
}

/* The first that is not used up. */
static const cv_chunk *first_of(const cv_queue *queue)
{
    const cv_chunk *chunk = queue->first;
    while (chunk && chunk->from == chunk->to)
        chunk = chunk->next;
    return chunk;
}

int cv_queue_file(const cv_queue *queue, cv_piece *piece)
{
    const cv_chunk *chunk = first_of(queue);
    if (!chunk || !chunk->file)
        return 0;
    *piece = (cv_piece){chunk->file, chunk->from, chunk->to - chunk->from};
    return 1;
}

int cv_queue_add_shared(cv_queue *queue, cv_budget *budget, cv_shared *shared, uint32_t from)
{
    cv_chunk *chunk = append(queue, budget, 0);
    if (!chunk)
        return -1;
    chunk->shared = shared;
    chunk->from = from;
    chunk->to = shared->size;
    shared->holders++;
    queue->size += shared->size - from;
    return 0;
}

void cv_queue_mark(cv_queue *queue, uint32_t marks, int64_t around)
{
    if (!queue->last)
        return;
    queue->last->marks += marks;
    queue->marks += marks;
    queue->last->around += around;
    queue->around += around;
}

void cv_queue_splice(cv_queue *queue, cv_queue *from)
{
    if (!from->first)
        return;
    if (queue->last)
        queue->last->next = from->first;
    else
        queue->first = from->first;
    queue->last = from->last;
    queue->size += from->size;
    queue->marks += from->marks;
    queue->around += from->around;
    from->first = from->last = NULL;
    from->size = 0;
    from->marks = 0;
    from->around = 0;
}

int cv_queue_pieces(const cv_queue *queue, struct iovec *pieces, int max)
{
    int count = 0;
    for (cv_chunk *chunk = queue->first; chunk && count < max; chunk = chunk->next) {
        if (chunk->file)
            break;
        if (chunk->from == chunk->to)
            continue;
        uint8_t *bytes = chunk->shared ? chunk->shared->bytes : chunk->bytes;
        pieces[count].iov_base = bytes + chunk->from;
        pieces[count].iov_len = chunk->to - chunk->from;
        count++;
    }
    return count;
}

static void drop_first(cv_queue *queue, cv_budget *budget)
{
    cv_chunk *chunk = queue->first;
    queue->first = chunk->next;
    if (!queue->first)
        queue->last = NULL;
    if (chunk->file)
        cv_file_release(chunk->file);
    queue->marks -= chunk->marks;
    queue->around -= chunk->around;
    cv_shared_release(chunk->shared, budget);
    cv_budget_give(budget, chunk, sizeof *chunk + chunk->size);
}

void cv_queue_drop(cv_queue *queue, cv_budget *budget, uint64_t size)
{
    queue->size -= size;
    while (queue->first) {
        cv_chunk *chunk = queue->first;
        uint64_t here = chunk->to - chunk->from;
        if (size < here) {
            chunk->from += size;
            return;
        }
        size -= here;
        drop_first(queue, budget);
    }
}

void cv_queue_clear(cv_queue *queue, cv_budget *budget)
{
    while (queue->first)
        drop_first(queue, budget);
    queue->size = 0;
}
