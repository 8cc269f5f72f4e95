#include <criterion/criterion.h>

#include "workers/progress.h"

#define NOW (1772712000 * USEC_PER_SEC) /* 2026-03-05T12:00:00Z */

Test(progress, nothing_is_known_before_the_first_report) {
        Progress p = { 0 };

        cr_assert(!progress_is_known(&p));
        cr_assert_eq(progress_rate(&p), 0);
        cr_assert_eq(progress_left_usec(&p, 5), USEC_INFINITY);
}

Test(progress, rate_and_end_count_from_the_first_report) {
        char text[PROGRESS_TEXT_SIZE];
        Progress p = { 0 };

        progress_report(&p, 1000, 10000, "heights", 7 * USEC_PER_SEC);
        cr_assert_str_eq(progress_format(&p, 8 * USEC_PER_SEC, NOW, text), "1000 of 10000 heights, 9000 to go");
        progress_report(&p, 1200, 10000, "heights", 11 * USEC_PER_SEC);
        cr_assert_float_eq(progress_rate(&p), 50, 1e-9);
        cr_assert_eq(progress_left_usec(&p, 11 * USEC_PER_SEC), 176 * USEC_PER_SEC);
        /* time goes on between reports */
        cr_assert_eq(progress_left_usec(&p, 13 * USEC_PER_SEC), 174 * USEC_PER_SEC);
        cr_assert_eq(progress_left_usec(&p, 500 * USEC_PER_SEC), 0);
        cr_assert_str_eq(progress_format(&p, 11 * USEC_PER_SEC, NOW, text),
                         "1200 of 10000 heights, 8800 to go, 50.0/s, ends in 2 min 56 s at 12:02:56 UTC");
}

Test(progress, days_to_go_name_the_day) {
        char text[PROGRESS_TEXT_SIZE];
        Progress p = { 0 };

        progress_report(&p, 0, 172801, "heights", USEC_PER_SEC);
        progress_report(&p, 1, 172801, "heights", 2 * USEC_PER_SEC);
        cr_assert_str_eq(progress_format(&p, 2 * USEC_PER_SEC, NOW, text),
                         "1 of 172801 heights, 172800 to go, 1.0/s, ends in 2 d at 2026-03-07T12:00:00 UTC");
}

Test(progress, the_end_has_neither_rate_nor_time) {
        char text[PROGRESS_TEXT_SIZE];
        Progress p = { 0 };

        progress_report(&p, 0, 4, NULL, USEC_PER_SEC);
        progress_report(&p, 4, 4, NULL, 2 * USEC_PER_SEC);
        cr_assert_str_eq(progress_format(&p, 2 * USEC_PER_SEC, NOW, text), "4 of 4, 0 to go");
        /* more done than was told: no underflow */
        progress_report(&p, 5, 4, NULL, 3 * USEC_PER_SEC);
        cr_assert_str_eq(progress_format(&p, 3 * USEC_PER_SEC, NOW, text), "5 of 4, 0 to go");
        cr_assert_eq(progress_left_usec(&p, 3 * USEC_PER_SEC), USEC_INFINITY);
}

Test(progress, long_units_are_cut) {
        char text[PROGRESS_TEXT_SIZE];
        Progress p = { 0 };

        progress_report(&p, 1, 2, "0123456789012345678901234567890123456789", USEC_PER_SEC);
        cr_assert_str_eq(progress_format(&p, USEC_PER_SEC, NOW, text),
                         "1 of 2 0123456789012345678901234567890, 1 to go");
}
