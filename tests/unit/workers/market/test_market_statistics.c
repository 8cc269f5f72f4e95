/* Values of market_updater, without servers. Expected texts: market specification, 9.3 to 9.8. */

#include <criterion/criterion.h>

#include "workers/market/market_statistics.h"

#define SAMPLES(...) ((const char *const[]){ __VA_ARGS__ })

static void expect_funding(size_t n, const char *const *samples, const char *rate, const char *expected) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *got = NULL;
        size_t lengths[8] = { 0 };
        int r;

        for (size_t i = 0; i < n; i++)
                lengths[i] = strlen(samples[i]);
        r = market_compute_funding_rate(n, samples, lengths, rate, &got, &e);
        cr_assert_eq(r, 0, "%s", error_text(&e));
        cr_assert(str_eq(got, expected), "got %s, expected %s", got ? got : "(kept)", expected ? expected : "(kept)");
}

Test(market_statistics, funding_is_average_plus_default) {
        expect_funding(3, SAMPLES("1.25e-7", "0", "0.000001"), "0.0000125", "0.000012875");
        expect_funding(1, SAMPLES("0"), "0.0000125", "0.0000125");
        expect_funding(1, SAMPLES("0"), NULL, "0");
        expect_funding(0, NULL, "0.0000125", NULL);
}

Test(market_statistics, funding_rounds_to_twenty_places_half_away_from_zero) {
        expect_funding(3, SAMPLES("0.00001", "0.00001", "0"), NULL, "0.00000666666666666667");
        expect_funding(3, SAMPLES("0.00001", "0", "0"), NULL, "0.00000333333333333333");
        expect_funding(3, SAMPLES("-0.00001", "-0.00001", "0"), NULL, "-0.00000666666666666667");
}

Test(market_statistics, funding_refuses_garbage) {
        static const char *const bad[] = { "abc", "", "NaN", "1 ", "+1", "1e99999999" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_INIT;
                _cleanup_free_ char *got = NULL;
                size_t length = strlen(bad[i]);

                cr_assert_lt(market_compute_funding_rate(1, &bad[i], &length, NULL, &got, &e), 0, "\"%s\"", bad[i]);
                cr_assert_null(got);
                cr_assert(strstr(error_text(&e), "funding sample"), "%s", error_text(&e));
        }
}

Test(market_statistics, price_change) {
        static const struct {
                const char *latest, *day_ago, *expected;
        } rows[] = {
                { "139.5", "141", "-1.5" }, { "141.00", "141", "0" }, { "0.0000003", "0.0000001", "0.0000002" },
                { NULL, "141", NULL },      { "141", NULL, NULL },    { NULL, NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ Error e = ERROR_INIT;
                _cleanup_free_ char *got = NULL;

                cr_assert_eq(market_compute_price_change(rows[i].latest, rows[i].day_ago, &got, &e), 0);
                cr_assert(str_eq(got, rows[i].expected), "row %zu: %s", i, got ? got : "(kept)");
        }
}

Test(market_statistics, price_that_is_no_number_is_refused) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *got = NULL;

        cr_assert_lt(market_compute_price_change("NaN", "1", &got, &e), 0);
        cr_assert_lt(market_compute_price_change("1", "Infinity", &got, &e), 0);
        cr_assert_null(got);
}

Test(market_statistics, sums_are_kept_as_printed) {
        static const char *const bad[] = { "NaN", "Infinity", "-Infinity", "" };
        _cleanup_free_ char *kept = NULL, *none = NULL;

        cr_assert_eq(market_compute_sum("20.00", &kept, NULL), 0);
        cr_assert_str_eq(kept, "20.00");
        cr_assert_eq(market_compute_sum(NULL, &none, NULL), 0);
        cr_assert_str_eq(none, "0");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char *got = NULL;

                cr_assert_eq(market_compute_sum(bad[i], &got, NULL), -EINVAL, "\"%s\"", bad[i]);
                cr_assert_null(got);
        }
}

Test(market_statistics, trades_must_fit_the_column) {
        static const struct {
                const char *count, *expected;
                int r;
        } rows[] = {
                { NULL, "0", 0 },
                { "2147483647", "2147483647", 0 },
                { "2147483648", NULL, -ERANGE },
                { "99999999999999999999", NULL, -ERANGE },
                { "-1", NULL, -ERANGE },
                { "x", NULL, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = NULL;

                cr_assert_eq(market_compute_trades(rows[i].count, &got, NULL), rows[i].r, "row %zu", i);
                cr_assert(str_eq(got, rows[i].expected), "row %zu", i);
        }
}
