/* Texts of times and durations, and the shape of random values. */

#include <criterion/criterion.h>

#include "common/clock.h"

Test(clock, iso_strings_truncate) {
        char msec[ISO_TIME_SIZE], usec[ISO_TIME_USEC_SIZE];

        cr_assert_str_eq(format_iso_msec(1772712000123999, msec), "2026-03-05T12:00:00.123Z");
        cr_assert_str_eq(format_iso_usec(1772712000123999, usec), "2026-03-05T12:00:00.123999Z");
        cr_assert_str_eq(format_iso_msec(0, msec), "1970-01-01T00:00:00.000Z");
        cr_assert_str_eq(format_iso_msec(1709164800000000, msec), "2024-02-29T00:00:00.000Z");
}

Test(clock, iso_strings_of_any_form_are_read) {
        static const struct {
                const char *text;
                int64_t usec;
        } cases[] = {
                { "2026-03-05T12:00:00.123Z", 1772712000123000 },
                { "2026-03-05T12:00:00.123999Z", 1772712000123999 },
                { "2026-03-05T12:00:00.1239999Z", 1772712000123999 },
                { "2026-03-05 12:00:00Z", 1772712000000000 },
                { "2026-03-05T12:00", 1772712000000000 },
                { "2026-03-05T17:30:00.5+05:30", 1772712000500000 },
                { "2026-03-05T04:00:00-0800", 1772712000000000 },
                { "2026-03-05T13+01", INT64_MIN },
                { "2026-03-05T13:00+01", 1772712000000000 },
                { "2026-03-05", 1772668800000000 },
                { "2024-02-29T00:00:00.000Z", 1709164800000000 },
                { "1969-12-31T23:59:59.999Z", -1000 },
                { "2025-02-29T00:00:00.000Z", INT64_MIN },
                { "2026-13-05", INT64_MIN },
                { "2026-03-05T24:00:00Z", INT64_MIN },
                { "2026-03-05T12:00:60Z", INT64_MIN },
                { "2026-03-05T12:00:00.Z", INT64_MIN },
                { "2026-03-05T12:00:00Zulu", INT64_MIN },
                { "2026-03-05T12:00:00+", INT64_MIN },
                { "2026-03-05T", INT64_MIN },
                { "-026-03-05", INT64_MIN },
                { "1772712000123", INT64_MIN },
                { "", INT64_MIN },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t usec = INT64_MIN;
                int r = parse_iso(cases[i].text, strlen(cases[i].text), &usec);

                cr_assert_eq(r, cases[i].usec == INT64_MIN ? -EINVAL : 0, "%s", cases[i].text);
                cr_assert_eq(usec, cases[i].usec, "%s", cases[i].text);
        }
        /* the length counts, not a NUL */
        cr_assert_eq(parse_iso("2026-03-05junk", 10, &(int64_t){ 0 }), 0);
}

Test(clock, durations_are_for_people) {
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                { 0, "0 us" },
                { 999, "999 us" },
                { 250 * USEC_PER_MSEC, "250 ms" },
                { 1250 * USEC_PER_MSEC, "1.25 s" },
                { 30 * USEC_PER_SEC, "30 s" },
                { 240 * USEC_PER_SEC, "4 min" },
                { 3900 * USEC_PER_SEC, "1 h 5 min" },
                { 30 * 86400 * USEC_PER_SEC, "30 d" },
                { USEC_INFINITY, "for ever" },
        };
        char buf[64];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_assert_str_eq(format_duration(cases[i].usec, buf, sizeof(buf)), cases[i].text);
}

Test(clock, realtime_can_be_pinned) {
        clock_set_realtime(42);
        cr_assert_eq(clock_realtime_usec(), 42);
        clock_set_realtime(0);
        cr_assert_gt(clock_realtime_usec(), 1600000000 * USEC_PER_SEC);
}

Test(random, uuids_are_version_4_and_differ) {
        char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];

        for (int i = 0; i < 1000; i++) {
                random_uuid(a);
                random_uuid(b);
                cr_assert_eq(strlen(a), 36);
                cr_assert_eq(a[14], '4');
                cr_assert(strchr("89ab", a[19]), "%s", a);
                cr_assert_str_neq(a, b);
        }
}

Test(random, fractions_are_below_one) {
        double sum = 0;

        for (int i = 0; i < 10000; i++) {
                double f = random_fraction();

                cr_assert(f >= 0 && f < 1);
                sum += f;
        }
        /* 10,000 uniform draws: a mean outside 0.45 … 0.55 has a probability below 1e-60 */
        cr_assert(sum > 4500 && sum < 5500);
}
