#define _GNU_SOURCE
#include "date.h"

#include <string.h>
#include <time.h>

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void two(char *at, int number)
{
    at[0] = (char)('0' + number / 10 % 10);
    at[1] = (char)('0' + number % 10);
}

void cv_date_write(char line[CV_DATE_SIZE + 1], int64_t seconds)
{
    struct tm t;
    time_t clock = (time_t)seconds;
    memset(&t, 0, sizeof t);
    gmtime_r(&clock, &t);
    /* No strftime: its names follow the locale. */
    memcpy(line, "date: Xxx, 00 Xxx 0000 00:00:00 GMT\r\n", CV_DATE_SIZE + 1);
    memcpy(line + 6, days + 3 * t.tm_wday, 3);
    two(line + 11, t.tm_mday);
    memcpy(line + 14, months + 3 * t.tm_mon, 3);
    two(line + 18, (t.tm_year + 1900) / 100);
    two(line + 20, (t.tm_year + 1900) % 100);
    two(line + 23, t.tm_hour);
    two(line + 26, t.tm_min);
    two(line + 29, t.tm_sec);
}

void cv_date_update(cv_date *date, cv_time now)
{
    if (now < date->until)
        return;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    cv_date_write(date->line, t.tv_sec);
    date->until = now + INT64_C(1000000000) - t.tv_nsec;
}
