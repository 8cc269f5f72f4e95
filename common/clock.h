#pragma once

/* The three clocks and their texts. Realtime is what the database and the fleet see, monotonic is what durations and
 * deadlines are measured with. Tests inject a realtime clock by clock_set_realtime(). Thread-safe. */

#include "common/util.h"

uint64_t clock_monotonic_usec(void);
uint64_t clock_realtime_usec(void);
/* Freezes clock_realtime_usec() at `usec`; 0 lets it run again. Also read once from $ROUNDTABLE_TEST_NOW_USEC in test
 * builds. */
void clock_set_realtime(uint64_t usec);

#define ISO_TIME_SIZE sizeof("2026-03-05T12:00:00.000Z")
#define ISO_TIME_USEC_SIZE sizeof("2026-03-05T12:00:00.000000Z")
/* UTC, three fractional digits (truncated), `Z`; specification of the original's ISO strings. Returns buf. */
const char *format_iso_msec(uint64_t usec, char buf[static ISO_TIME_SIZE]);
const char *format_iso_usec(uint64_t usec, char buf[static ISO_TIME_USEC_SIZE]);
/* The reverse, of any ISO 8601 form of date and time: "2026-03-05", "T" or a blank before "12:00", seconds, fraction
 * (beyond microseconds truncated), "Z", "+05:30", "-0800" or no zone, which is UTC. Microseconds since 1970, negative
 * before. -EINVAL for anything else. */
int parse_iso(const char *text, size_t length, int64_t *ret_usec);
/* "250 ms", "30 s", "4 min", "1 h 5 min": for people. Returns buf. */
const char *format_duration(uint64_t usec, char *buf, size_t size);

/* Uniform in [0,1) / [0, bound), from getrandom, or from the seed of $ROUNDTABLE_TEST_SEED in test builds. */
double random_fraction(void);
uint64_t random_u64(void);
/* Lower-case UUID v4. Returns buf. */
#define UUID_TEXT_SIZE 37
const char *random_uuid(char buf[static UUID_TEXT_SIZE]);
