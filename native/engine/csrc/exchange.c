#include "exchange.h"

#include <string.h>

#include "core.h"
#include "http2.h"

uint32_t cv_exchange_slot(const cv_core *core, const cv_exchange *x)
{
    return (uint32_t)(x - core->exchanges);
}

cv_exchange *cv_exchange_alone(cv_core *core, cv_connection *c)
{
    uint32_t slot = core->free_exchange;
    cv_exchange *x;
    if (slot) {
        x = &core->exchanges[slot];
        core->free_exchange = x->next;
    } else if (core->fresh_exchange < core->exchange_capacity) {
        slot = ++core->fresh_exchange;
        x = &core->exchanges[slot];
        x->generation = 1;
    } else {
        return NULL;
    }
    uint32_t generation = x->generation;
    memset(x, 0, sizeof *x);
    x->generation = generation;
    x->state = CV_WAITING;
    x->connection = c->index;
    x->readable = core->readable;
    core->exchanges_used++;
    return x;
}

cv_exchange *cv_exchange_new(cv_core *core, cv_connection *c)
{
    cv_exchange *x = cv_exchange_alone(core, c);
    if (!x)
        return NULL;
    uint32_t slot = cv_exchange_slot(core, x);
    if (c->last)
        core->exchanges[c->last].next = slot;
    else
        c->first = slot;
    c->last = slot;
    c->pipelined++;
    return x;
}

cv_exchange *cv_exchange_current(cv_core *core, uint64_t handle)
{
    uint32_t slot = (uint32_t)handle;
    if (slot == 0 || slot > core->fresh_exchange)
        return NULL;
    cv_exchange *x = &core->exchanges[slot];
    if (x->generation != (uint32_t)(handle >> 32) || (x->flags & CV_X_NATIVE) ||
        (x->state != CV_WAITING && x->state != CV_STREAMING))
        return NULL;
    return x;
}

static void let_go(cv_core *core, cv_exchange *x)
{
    if (x->flags & CV_X_COUNTED) {
        x->flags &= ~(uint32_t)CV_X_COUNTED;
        core->counters.in_flight--;
        cv_deadline_clear(&core->timers, cv_exchange_slot(core, x));
    }
    /* A channel keeps the place that its handshake had. */
    if (x->member && x->state != CV_CHANNEL) {
        cv_http2_left(core, x->member);
        x->member = 0;
    }
    if (x->block) {
        cv_arena_unrecord(&core->arena, x->block, x->record);
        x->block = 0;
        x->record = NULL;
    }
    if (x->routes) {
        cv_routes_free(x->routes);
        x->routes = NULL;
    }
}

void cv_exchange_answered(cv_core *core, cv_exchange *x)
{
    if (!(x->flags & (CV_X_NATIVE | CV_X_LOGGED)))
        cv_exchange_log(core, x, x->status && !(x->flags & CV_X_GONE) ? x->status : 499);
    x->state = CV_DONE;
    let_go(core, x);
}

void cv_exchange_opened(cv_core *core, cv_connection *c, cv_exchange *x)
{
    cv_exchange_log(core, x, x->status);
    x->state = CV_CHANNEL;
    x->connection = c->index;
    let_go(core, x);
    c->first = c->last = 0;
    c->pipelined = 0;
}

void cv_exchange_release(cv_core *core, cv_exchange *x)
{
    x->state = CV_FREE;
    let_go(core, x);
    cv_queue_clear(&x->pending, &core->budget);
    x->connection = 0;
    if (x->flags & CV_X_LISTED)
        return; /* cv_notices_send frees the slot */
    if (++x->generation == 0)
        x->generation = 1;
    x->next = core->free_exchange;
    core->free_exchange = cv_exchange_slot(core, x);
    core->exchanges_used--;
}

void cv_exchange_tell(cv_core *core, cv_exchange *x, int notice)
{
    x->notices |= (uint8_t)notice;
    if (x->flags & CV_X_LISTED)
        return;
    x->flags |= CV_X_LISTED;
    x->notice_next = 0;
    uint32_t slot = cv_exchange_slot(core, x);
    if (core->last_notice)
        core->exchanges[core->last_notice].notice_next = slot;
    else
        core->first_notice = slot;
    core->last_notice = slot;
}

void cv_exchange_tell_gone(cv_core *core, cv_exchange *x, int why)
{
    if ((x->flags & (CV_X_GONE | CV_X_NATIVE)) ||
        (x->state != CV_WAITING && x->state != CV_STREAMING))
        return;
    x->flags |= CV_X_GONE;
    x->gone = (uint8_t)why;
    if (why == CV_GONE_CLOSED)
        core->counters.disconnects++;
    cv_exchange_tell(core, x, CV_TELL_GONE);
}

void cv_exchange_detach(cv_core *core, cv_exchange *x, int why)
{
    x->connection = 0;
    x->next = 0;
    cv_queue_clear(&x->pending, &core->budget);
    if ((x->flags & CV_X_NATIVE) || x->state == CV_DONE) {
        cv_exchange_release(core, x);
        return;
    }
    cv_exchange_tell_gone(core, x, why);
    if (x->flags & CV_X_READING) {
        x->flags &= ~(uint32_t)CV_X_READING;
        cv_exchange_tell(core, x, CV_TELL_BODY_BROKEN);
    }
    if (!(x->flags & CV_X_LOGGED))
        cv_exchange_log(core, x, 499);
}

void cv_notices_send(cv_core *core)
{
    while (core->first_notice && core->event_count + 4 <= core->event_limit) {
        uint32_t slot = core->first_notice;
        cv_exchange *x = &core->exchanges[slot];
        core->first_notice = x->notice_next;
        if (!core->first_notice)
            core->last_notice = 0;
        x->flags &= ~(uint32_t)CV_X_LISTED;
        int notices = x->notices;
        x->notices = 0;
        uint64_t handle = cv_exchange_handle(x, slot);
        int current = x->state == CV_WAITING || x->state == CV_STREAMING;
        if ((notices & CV_TELL_BODY_END) && current)
            cv_event_add(core, handle, CV_BODY)->flags = CV_BODY_COMPLETE;
        if ((notices & CV_TELL_BODY_BROKEN) && current)
            cv_event_add(core, handle, CV_BODY)->flags = CV_BODY_BROKEN;
        if ((notices & CV_TELL_GONE) && current)
            cv_event_add(core, handle, CV_GONE)->extra = x->gone;
        if ((notices & CV_TELL_ROOM) && current) {
            uint32_t size = x->room > UINT32_MAX ? UINT32_MAX : (uint32_t)x->room;
            cv_event_add(core, handle, CV_ROOM)->size = size;
            x->room -= size;
        }
        if (notices & CV_TELL_REFUSED)
            cv_event_add(core, handle, CV_REFUSED)->extra = x->refused;
        if (x->state == CV_CHANNEL) {
            if (notices & CV_TELL_DRAINED)
                cv_event_add(core, handle, CV_DRAINED);
            if (notices & CV_TELL_PONG)
                cv_event_add(core, handle, CV_PONG)->extra = x->ponged;
            if (notices & CV_TELL_CLOSED)
                cv_event_add(core, handle, CV_CLOSED)->extra = x->close_code;
        }
        if (x->state == CV_FREE)
            cv_exchange_release(core, x);
        else if (x->room && current)
            cv_exchange_tell(core, x, CV_TELL_ROOM);
    }
}

void cv_exchange_log(cv_core *core, cv_exchange *x, int status)
{
    x->flags |= CV_X_LOGGED;
    if (!core->log.size || !x->record)
        return;
    const cv_request *r = x->record;
    const uint8_t *head = core->arena.base + r->head;
    cv_log_entry entry = {
        .method = head + r->method_at,
        .method_size = r->method_size,
        .target = head + r->target_at,
        .target_size = r->target_size,
        .minor = r->minor,
        .family = r->family,
        .peer = r->peer,
        .status = status,
        .ms = ((double)(core->now - core->skew) / 1e9 - r->arrived) * 1e3,
        .bytes = x->bytes,
    };
    cv_head fields = {.size = r->head_size, .target = {r->target_at, r->target_size}};
    cv_span agent, none = {0, 0};
    if (cv_head_field(head, &fields, "user-agent", 10, none, &agent)) {
        entry.agent = head + agent.at;
        entry.agent_size = agent.size;
    }
    if (cv_log_add(&core->log, &entry) < 0)
        core->counters.log_lost++;
}
