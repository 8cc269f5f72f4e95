/* Clocks, their texts, random numbers. In test builds realtime and the generator can be pinned by the environment. */

#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "common/clock.h"

static _Atomic uint64_t pinned_realtime;
#ifdef ROUNDTABLE_TESTING
static _Atomic uint64_t seeded_state;
static _Atomic int environment_read;
#endif

static uint64_t clock_usec(clockid_t id) {
        struct timespec t;

        /* Cannot fail for these two clocks on Linux. */
        (void) clock_gettime(id, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* First use only; a second thread that comes meanwhile may see the real clock once, which no test does. */
static void read_test_environment(void) {
#ifdef ROUNDTABLE_TESTING
        const char *now, *seed;

        if (atomic_exchange(&environment_read, 1))
                return;
        now = getenv("ROUNDTABLE_TEST_NOW_USEC");
        if (now)
                atomic_store(&pinned_realtime, strtoull(now, NULL, 10));
        seed = getenv("ROUNDTABLE_TEST_SEED");
        if (seed)
                atomic_store(&seeded_state, strtoull(seed, NULL, 10) | 1);
#endif
}

uint64_t clock_monotonic_usec(void) {
        return clock_usec(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_usec(void) {
        uint64_t pinned;

        read_test_environment();
        pinned = atomic_load(&pinned_realtime);
        return pinned ? pinned : clock_usec(CLOCK_REALTIME);
}

void clock_set_realtime(uint64_t usec) {
        read_test_environment();
        atomic_store(&pinned_realtime, usec);
}

static void format_iso(uint64_t usec, char *buf, size_t size, unsigned digits) {
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        unsigned fraction = (unsigned) (usec % USEC_PER_SEC);
        struct tm tm;
        char date[64];

        (void) gmtime_r(&seconds, &tm);
        if (digits == 3)
                fraction /= 1000;
        (void) strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
        (void) snprintf(buf, size, "%.19s.%0*uZ", date, (int) digits, fraction);
}

const char *format_iso_msec(uint64_t usec, char buf[static ISO_TIME_SIZE]) {
        format_iso(usec, buf, ISO_TIME_SIZE, 3);
        return buf;
}

const char *format_iso_usec(uint64_t usec, char buf[static ISO_TIME_USEC_SIZE]) {
        format_iso(usec, buf, ISO_TIME_USEC_SIZE, 6);
        return buf;
}

/* `n` digits at *p, moved on behind them. */
static bool read_digits(const char **p, const char *end, int n, int *ret) {
        int value = 0;

        for (int i = 0; i < n; i++, (*p)++) {
                if (*p >= end || **p < '0' || **p > '9')
                        return false;
                value = value * 10 + (**p - '0');
        }
        *ret = value;
        return true;
}

static bool read_char(const char **p, const char *end, char c) {
        if (*p >= end || **p != c)
                return false;
        (*p)++;
        return true;
}

static bool read_date(const char **p, const char *end, struct tm *tm) {
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        int year, month, day;
        bool leap;

        if (!read_digits(p, end, 4, &year) || !read_char(p, end, '-') || !read_digits(p, end, 2, &month) ||
            !read_char(p, end, '-') || !read_digits(p, end, 2, &day))
                return false;
        leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (month < 1 || month > 12 || day < 1 || day > days[month - 1] + (month == 2 && leap))
                return false;
        *tm = (struct tm){ .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };
        return true;
}

static bool read_time(const char **p, const char *end, struct tm *tm, int *ret_usec) {
        *ret_usec = 0;
        if (!read_digits(p, end, 2, &tm->tm_hour) || !read_char(p, end, ':') || !read_digits(p, end, 2, &tm->tm_min))
                return false;
        if (tm->tm_hour > 23 || tm->tm_min > 59)
                return false;
        if (!read_char(p, end, ':'))
                return true;
        if (!read_digits(p, end, 2, &tm->tm_sec) || tm->tm_sec > 59)
                return false;
        if (!read_char(p, end, '.'))
                return true;
        if (*p >= end || **p < '0' || **p > '9')
                return false;
        for (int unit = 100000; *p < end && **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
                *ret_usec += (**p - '0') * unit;
        return true;
}

static bool read_zone(const char **p, const char *end, int *ret_seconds) {
        int hours, minutes = 0, sign;

        *ret_seconds = 0;
        if (*p == end || read_char(p, end, 'Z'))
                return true;
        sign = **p == '+' ? 1 : **p == '-' ? -1 : 0;
        (*p)++;
        if (sign == 0 || !read_digits(p, end, 2, &hours))
                return false;
        if (*p < end) {
                (void) read_char(p, end, ':');
                if (!read_digits(p, end, 2, &minutes))
                        return false;
        }
        if (hours > 15 || minutes > 59)
                return false;
        *ret_seconds = sign * (hours * 3600 + minutes * 60);
        return true;
}

int parse_iso(const char *text, size_t length, int64_t *ret_usec) {
        const char *p = text, *end = text + length;
        int zone = 0, usec = 0;
        struct tm tm;

        if (!read_date(&p, end, &tm))
                return -EINVAL;
        if (p < end &&
            (!(*p == 'T' || *p == ' ') || (p++, !read_time(&p, end, &tm, &usec)) || !read_zone(&p, end, &zone)))
                return -EINVAL;
        if (p != end)
                return -EINVAL;
        *ret_usec = ((int64_t) timegm(&tm) - zone) * (int64_t) USEC_PER_SEC + usec;
        return 0;
}

const char *format_duration(uint64_t usec, char *buf, size_t size) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC },
                { "s", USEC_PER_SEC },         { "ms", USEC_PER_MSEC },      { "us", 1 },
        };

        if (usec == USEC_INFINITY) {
                (void) snprintf(buf, size, "for ever");
                return buf;
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                uint64_t whole, rest;

                if (usec < units[i].usec && i + 1 < ELEMENTSOF(units))
                        continue;
                whole = usec / units[i].usec;
                rest = i + 1 < ELEMENTSOF(units) ? usec % units[i].usec / units[i + 1].usec : 0;
                /* seconds with a rest are easier read as 1.25 s */
                if (units[i].usec == USEC_PER_SEC && rest > 0 && whole < 10)
                        (void) snprintf(buf, size, "%llu.%02llu s", (unsigned long long) whole,
                                        (unsigned long long) rest / 10);
                else if (units[i].usec > USEC_PER_SEC && rest > 0)
                        (void) snprintf(buf, size, "%llu %s %llu %s", (unsigned long long) whole, units[i].name,
                                        (unsigned long long) rest, units[i + 1].name);
                else
                        (void) snprintf(buf, size, "%llu %s", (unsigned long long) whole, units[i].name);
                break;
        }
        return buf;
}

uint64_t random_u64(void) {
        uint64_t v = 0;

        read_test_environment();
#ifdef ROUNDTABLE_TESTING
        if (atomic_load(&seeded_state)) {
                /* splitmix64 (Steele, Lea, Flood 2014) */
                uint64_t z = atomic_fetch_add(&seeded_state, 0x9e3779b97f4a7c15ULL) + 0x9e3779b97f4a7c15ULL;

                z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
                z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
                return z ^ (z >> 31);
        }
#endif
        /* Up to 256 bytes are never cut short once the pool is initialised; before that it blocks. */
        while (getrandom(&v, sizeof(v), 0) != (ssize_t) sizeof(v))
                if (errno != EINTR)
                        abort();
        return v;
}

double random_fraction(void) {
        return (double) (random_u64() >> 11) * 0x1.0p-53;
}

const char *random_uuid(char buf[static UUID_TEXT_SIZE]) {
        uint64_t a = random_u64(), b = random_u64();

        a = (a & ~0xf000ULL) | 0x4000;                            /* version 4 */
        b = (b & ~0xc000000000000000ULL) | 0x8000000000000000ULL; /* RFC 4122 variant */
        (void) snprintf(buf, UUID_TEXT_SIZE, "%08x-%04x-%04x-%04x-%012llx", (unsigned) (a >> 32),
                        (unsigned) (a >> 16) & 0xffff, (unsigned) a & 0xffff, (unsigned) (b >> 48),
                        (unsigned long long) (b & 0xffffffffffffULL));
        return buf;
}
