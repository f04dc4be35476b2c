#include "timers.h"

#include <string.h>

#include "memory.h"

int cv_timers_open(cv_timers *timers, uint32_t exchanges)
{
    memset(timers, 0, sizeof *timers);
    for (int kind = 0; kind < CV_TIMER_KINDS; kind++) {
        timers->lists[kind].prev = timers->lists[kind].next = &timers->lists[kind];
        timers->length[kind] = CV_NEVER;
    }
    timers->kinds = CV_TIMER_CHANNEL;
    timers->capacity = exchanges;
    timers->heap = cv_reserve(((size_t)exchanges + 1) * sizeof(cv_deadline));
    timers->places = cv_reserve(((size_t)exchanges + 1) * sizeof(uint32_t));
    if (!timers->heap || !timers->places) {
        cv_timers_close(timers);
        return -1;
    }
    return 0;
}

void cv_timers_close(cv_timers *timers)
{
    cv_unreserve(timers->heap, ((size_t)timers->capacity + 1) * sizeof(cv_deadline));
    cv_unreserve(timers->places, ((size_t)timers->capacity + 1) * sizeof(uint32_t));
    timers->heap = NULL;
    timers->places = NULL;
}

void cv_timer_stop(cv_timer *timer)
{
    if (timer->kind == CV_TIMER_NONE)
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->kind = CV_TIMER_NONE;
}

void cv_timer_start(cv_timers *timers, cv_timer *timer, int kind, cv_time now)
{
    cv_timer_stop(timer);
    if (timers->length[kind] >= CV_NEVER)
        return;
    cv_timer *ring = &timers->lists[kind];
    timer->kind = (uint8_t)kind;
    timer->due = now + timers->length[kind];
    timer->prev = ring->prev;
    timer->next = ring;
    ring->prev->next = timer;
    ring->prev = timer;
}

cv_timer *cv_timers_due(cv_timers *timers, cv_time now, int *kind)
{
    for (int k = 1; k < timers->kinds; k++) {
        cv_timer *first = timers->lists[k].next;
        if (first != &timers->lists[k] && first->due <= now) {
            *kind = k;
            cv_timer_stop(first);
            return first;
        }
    }
    return NULL;
}

static void put(cv_timers *timers, uint32_t place, cv_deadline deadline)
{
    timers->heap[place] = deadline;
    timers->places[deadline.exchange] = place;
}

static void rise(cv_timers *timers, uint32_t place, cv_deadline deadline)
{
    while (place > 1 && timers->heap[place / 2].due > deadline.due) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    put(timers, place, deadline);
}

static void sink(cv_timers *timers, uint32_t place, cv_deadline deadline)
{
    for (;;) {
        uint32_t child = place * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1].due < timers->heap[child].due)
            child++;
        if (timers->heap[child].due >= deadline.due)
            break;
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, deadline);
}

void cv_deadline_clear(cv_timers *timers, uint32_t exchange)
{
    uint32_t place = timers->places[exchange];
    if (!place)
        return;
    timers->places[exchange] = 0;
    cv_deadline last = timers->heap[timers->count--];
    if (last.exchange == exchange)
        return;
    if (place > 1 && timers->heap[place / 2].due > last.due)
        rise(timers, place, last);
    else
        sink(timers, place, last);
}

void cv_deadline_set(cv_timers *timers, uint32_t exchange, uint32_t number, cv_time due)
{
    cv_deadline_clear(timers, exchange);
    cv_deadline deadline = {.due = due, .exchange = exchange, .number = number};
    rise(timers, ++timers->count, deadline);
}

int cv_deadline_due(cv_timers *timers, cv_time now, cv_deadline *deadline)
{
    if (!timers->count || timers->heap[1].due > now)
        return 0;
    *deadline = timers->heap[1];
    cv_deadline_clear(timers, deadline->exchange);
    return 1;
}

cv_time cv_timers_next(const cv_timers *timers)
{
    cv_time next = timers->count ? timers->heap[1].due : CV_NEVER;
    for (int kind = 1; kind < timers->kinds; kind++) {
        const cv_timer *first = timers->lists[kind].next;
        if (first != &timers->lists[kind] && first->due < next)
            next = first->due;
    }
    return next;
}
