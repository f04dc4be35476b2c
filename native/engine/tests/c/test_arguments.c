/* Arguments that are read with the head: whole numbers and texts of path and query. */
#include "engine_case.h"

enum { ROUTE_TAKES = 11, NAME_AT = 8, Q_AT = 24, TEXT = 16 };

/* /takes/{i}/{s}?n=i&q=s, four pairs at most. */
static void start_taking(void)
{
    default_options();
    start();
    cv_routes *routes = cv_routes_new();
    int leaf = cv_routes_add_path(routes, "/takes/{}/{}", 12, "is");
    CHECK(cv_routes_set_route(routes, leaf, "GET", ROUTE_TAKES, 0) == 0);
    CHECK(cv_routes_set_route(routes, leaf, "PUT", ROUTE_PLAIN, 0) == 0);
    CHECK(cv_routes_take(routes, ROUTE_TAKES, 4, 0, NULL, 0, 'i', 0, 8) == 0);
    CHECK(cv_routes_take(routes, ROUTE_TAKES, 4, 1, NULL, 0, 's', NAME_AT, TEXT) == 0);
    CHECK(cv_routes_take(routes, ROUTE_TAKES, 4, -1, "q&", 2, 's', Q_AT, TEXT) == 0);
    CHECK(cv_routes_take(routes, ROUTE_TAKES, 4, -1, "n", 1, 'i', Q_AT + TEXT, 8) == 0);
    cv_engine_begin(engine, routes);
}

static int is_text(const cv_request *r, int at, const char *text)
{
    return r->arguments[at] == strlen(text) &&
           memcmp(r->arguments + at + 1, text, strlen(text)) == 0;
}

static int64_t number(const cv_request *r, int at)
{
    int64_t found;
    memcpy(&found, r->arguments + at, sizeof found);
    return found;
}

/* The record of a request for this target; it is answered with the next. */
static const cv_request *asked(const char *method, const char *target)
{
    static client c;
    static uint64_t handle;
    char head[512];
    if (handle)
        submit(handle, CV_DROP, 0, 0, NULL, 0);
    if (c.out)
        leave(&c);
    c = connect_client();
    snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, target);
    feed(&c, head);
    handle = request();
    if (!CHECK(event_of(CV_REQUEST) != NULL))
        exit(1);
    return request_of(event_of(CV_REQUEST));
}

static void plain_ones_are_read(void)
{
    const cv_request *r = asked("GET", "/takes/42/x?q%26=some%20words+here&n=007");
    CHECK(r->absent == 0);
    CHECK(number(r, 0) == 42);
    CHECK(is_text(r, NAME_AT, "x"));
    CHECK(is_text(r, Q_AT, "some words here"));
    CHECK(number(r, Q_AT + TEXT) == 7);

    r = asked("GET", "/takes/999999999999999999/a%2Fb+c%c3%a9");
    CHECK(r->absent == (4 | 8));
    CHECK(number(r, 0) == INT64_C(999999999999999999));
    CHECK(is_text(r, NAME_AT, "a/b+c\xc3\xa9"));

    r = asked("GET", "/takes/4%32/x?&&n=&other=1&&"); /* five separators */
    CHECK(r->absent == -1);
    r = asked("GET", "/takes/4%32/x?&other=1&q%26");
    CHECK(r->absent == 8 && number(r, 0) == 42 && is_text(r, Q_AT, ""));
    r = asked("GET", "/takes/1/x?a&b=%e2%82%ac&c=;;&d");
    CHECK(r->absent == (4 | 8));
    r = asked("GET", "/takes/1/x?n=%31%32");
    CHECK(r->absent == 4 && number(r, Q_AT + TEXT) == 12);
    r = asked("GET", "/takes/1/x?q%26=123456789012345");
    CHECK(r->absent == 8 && is_text(r, Q_AT, "123456789012345"));
}

static void odd_ones_are_left_alone(void)
{
    static const char *const odd[] = {
        "/takes/-1/x",
        "/takes/+1/x",
        "/takes/1234567890123456789/x",
        "/takes/1/1234567890123456",
        "/takes/1/x?n=1&n=1", /* bad input 41 */
        "/takes/1/x?n=1&%6e=2",
        "/takes/1/x?n",
        "/takes/1/x?n=",
        "/takes/1/x?n=+1",
        "/takes/1/x?n=%2b1",
        "/takes/1/x?n=1_0",
        "/takes/1/x?n=1e3",
        "/takes/1/x?n=1;q=2",
        "/takes/1/x?n=%d9%a1", /* a digit, but not of ASCII */
        "/takes/1/x?n=1234567890123456789",
        "/takes/1/x?q%26=1234567890123456",
        "/takes/1/x?other=%zz",
        "/takes/1/x?other=%4",
        "/takes/1/x?other=%",
        "/takes/1/x?%zz",
        "/takes/1/x?%00=1",
        "/takes/1/x?other=%00",
        "/takes/1/x?q%26=%00",
        "/takes/1/x?q%26=%ed%a0%80", /* a lone surrogate */
        "/takes/1/x?other=%c3",
        "/takes/1/x?q%26=%c3&%a9",
        "/takes/1/x?a&b&c&d&e",
        "/takes/1/x?n=1&&&&",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (!CHECK(asked("GET", odd[i])->absent == -1))
            cv_show("target", (const uint8_t *)odd[i], strlen(odd[i]));
    char name[300] = "/takes/1/x?%61";
    memset(name + 14, 'a', 256);
    CHECK(asked("GET", name)->absent == -1);
    CHECK(asked("PUT", "/takes/1/x?n=1")->absent == -1); /* a route that takes nothing */
}

static void what_cannot_be_is_refused(void)
{
    cv_routes *routes = cv_routes_new();
    CHECK(cv_routes_take(NULL, 1, 4, 0, NULL, 0, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, -1, 4, 0, NULL, 0, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 65536, 4, 0, NULL, 0, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 0, 0, NULL, 0, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, -2, "a", 1, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, CV_PARAMS, NULL, 0, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, -1, NULL, 0, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, -1, "a", 256, 'i', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, 0, NULL, 0, 'x', 0, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, 0, NULL, 0, 'i', 0, 7) == -1);
    CHECK(cv_routes_take(routes, 1, 4, 0, NULL, 0, 's', 0, 1) == -1);
    CHECK(cv_routes_take(routes, 1, 4, 0, NULL, 0, 'i', -1, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, 0, NULL, 0, 'i', CV_ARGUMENT_BYTES - 7, 8) == -1);
    CHECK(cv_routes_take(routes, 1, 4, 0, NULL, 0, 's', 1, INT32_MAX) == -1);
    for (int i = 0; i < CV_ARGUMENTS; i++)
        CHECK(cv_routes_take(routes, 65535, 4, -1, "a", 1, 's', 0, 2) == 0);
    CHECK(cv_routes_take(routes, 65535, 4, -1, "a", 1, 's', 0, 2) == -2);
    cv_routes_free(routes);
}

/* Whether the body is JSON and nothing else, as an event says. */
static int says_json(const char *fields)
{
    char text[512];
    client c = connect_client();
    snprintf(text, sizeof text, "PUT /takes/1/x HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    feed(&c, text);
    submit(request(), CV_DROP, 0, 0, NULL, 0);
    int flags = event_of(CV_REQUEST)->flags;
    leave(&c);
    return (flags & CV_BODY_JSON) != 0;
}

static void json_is_told_from_the_rest(void)
{
    CHECK(says_json("Content-Type: application/json\r\n"));
    CHECK(says_json("CONTENT-TYPE:\tapplication/json \r\n"));
    CHECK(!says_json(""));
    CHECK(!says_json("Content-Type: application/json; charset=utf-8\r\n"));
    CHECK(!says_json("Content-Type: Application/json\r\n"));
    CHECK(!says_json("Content-Type: application/jso\r\n"));
    CHECK(!says_json("Content-Type: application/json\r\nContent-Type: application/json\r\n"));
    CHECK(!says_json("Content-Type: text/plain\r\nContent-Type: application/json\r\n"));
    CHECK(!says_json("Content-Type:\r\nContent-Type: application/json\r\n"));
    CHECK(!says_json("Content-Type: application/json\r\nContent-Encoding: gzip\r\n"));
    CHECK(!says_json("Content-Encoding:\r\nContent-Type: application/json\r\n"));
    CHECK(says_json("Content-Type: application/json\r\nContent-Encodinh: gzip\r\n"));
}

int main(void)
{
    what_cannot_be_is_refused();
    start_taking();
    plain_ones_are_read();
    odd_ones_are_left_alone();
    json_is_told_from_the_rest();
    asked("PUT", "/takes/1/x");
    cv_engine_close(engine);
    cv_engine_free(engine);
    return cv_failures != 0;
}
