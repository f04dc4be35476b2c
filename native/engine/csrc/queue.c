#include "queue.h"

#include <string.h>

struct cv_chunk {
    cv_chunk *next;
    uint32_t from, to; /* the bytes that wait */
    uint32_t size; /* of `bytes` */
    uint8_t bytes[];
};

enum { SMALLEST = 4096 - 64, LARGEST = 1 << 20 };

int cv_queue_add(cv_queue *queue, cv_budget *budget, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size) {
        cv_chunk *last = queue->last;
        if (!last || last->to == last->size) {
            uint32_t room = size > LARGEST ? LARGEST : (uint32_t)size;
            if (room < SMALLEST)
                room = SMALLEST;
            cv_chunk *chunk = cv_budget_take(budget, sizeof *chunk + room);
            if (!chunk)
                return -1;
            chunk->next = NULL;
            chunk->from = chunk->to = 0;
            chunk->size = room;
            if (last)
                last->next = chunk;
            else
                queue->first = chunk;
            queue->last = last = chunk;
        }
        size_t part = last->size - last->to;
        if (part > size)
            part = size;
        memcpy(last->bytes + last->to, at, part);
        last->to += (uint32_t)part;
        queue->size += part;
        at += part;
        size -= part;
    }
    return 0;
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
    from->first = from->last = NULL;
    from->size = 0;
}

int cv_queue_pieces(const cv_queue *queue, struct iovec *pieces, int max)
{
    int count = 0;
    for (cv_chunk *chunk = queue->first; chunk && count < max; chunk = chunk->next) {
        if (chunk->from == chunk->to)
            continue;
        pieces[count].iov_base = chunk->bytes + chunk->from;
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
    cv_budget_give(budget, chunk, sizeof *chunk + chunk->size);
}

void cv_queue_drop(cv_queue *queue, cv_budget *budget, uint64_t size)
{
    queue->size -= size;
    while (queue->first) {
        cv_chunk *chunk = queue->first;
        uint32_t here = chunk->to - chunk->from;
        if (size < here) {
            chunk->from += (uint32_t)size;
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
