/* Order books without servers: the join of the two hashes, numbers, both rules, mid prices. Expected values: market
 * specification, sections 6, 11 and 13. */

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "workers/market/orderbook.h"

/* A reply of strings. */
typedef struct Hash {
        redisReply reply;
        redisReply items[64];
        redisReply *elements[64];
} Hash;

static const redisReply *hash_of(Hash *h, size_t n, const char *const *words) {
        *h = (Hash){ .reply = { .type = REDIS_REPLY_ARRAY, .elements = n, .element = h->elements } };
        for (size_t i = 0; i < n; i++) {
                h->items[i] =
                        (redisReply){ .type = REDIS_REPLY_STRING, .str = (char *) words[i], .len = strlen(words[i]) };
                h->elements[i] = &h->items[i];
        }
        return &h->reply;
}
#define HASH(h, ...)                                                                                                   \
        hash_of(h, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })

static void expect_prices(const OrderbookSide *s, const char *expected) {
        _cleanup_buffer_ Buffer got = { 0 };

        (void) buffer_append_string(&got, "");
        for (size_t i = 0; i < s->n; i++)
                (void) buffer_printf(&got, "%s%s", i > 0 ? " " : "", s->levels[i].price.s);
        cr_assert_str_eq(got.data, expected);
}

Test(orderbook, numbers_are_the_nearest_doubles) {
        static const char *const good[] = {
                "0",
                "-0",
                "1",
                "61200",
                "0.0000000071",
                "100.5",
                ".5",
                "-3",
                "1e21",
                "1E-7",
                "1.5e3",
                "007.50",
                "123456789012345",
                "0.1",
                "0.3",
                "0.30000000000000001",
                "9007199254740993",
                "2.2250738585072014e-308",
                "12345678901234567890.12345678901234567890",
                "1e300",
        };
        static const char *const bad[] = { "",    "-",        ".",    "1.", "+1",  " 1",  "1 ",   "abc",
                                           "NaN", "Infinity", "0x10", "1e", "1e+", "--1", "1..2", "1,5" };
        double d;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                cr_assert_eq(orderbook_number((OrderbookText){ good[i], strlen(good[i]) }, &d), 0, "%s", good[i]);
                cr_assert_eq(d, strtod(good[i], NULL), "%s: %.17g", good[i], d);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_assert_lt(orderbook_number((OrderbookText){ bad[i], strlen(bad[i]) }, &d), 0, "%s", bad[i]);
        cr_assert_eq(orderbook_number((OrderbookText){ "1\0", 2 }, &d), -EINVAL);
}

Test(orderbook, sign_is_exact) {
        static const struct {
                const char *text;
                bool negative;
        } cases[] = { { "-1", true }, { "-0", false }, { "-0.0e9", false }, { "-0.0001", true },
                      { "0", false }, { "5", false },  { "-1e-9000", true } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_assert_eq(orderbook_is_negative((OrderbookText){ cases[i].text, strlen(cases[i].text) }),
                             cases[i].negative, "%s", cases[i].text);
}

Test(orderbook, a_side_is_what_both_hashes_have) {
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookSide *s = &b.sides[ORDERBOOK_BUY];
        _cleanup_error_ Error e = ERROR_INIT;
        Hash sizes, times;

        /* another order, fields of one hash alone, a negative and a zero size */
        (void) HASH(&sizes, "5", "1", "6", "-2", "7", "0", "8", "3", "9", "4");
        (void) HASH(&times, "8", "80", "4", "40", "6", "60", "5", "50", "7", "70");
        cr_assert_eq(orderbook_side_parse(s, &sizes.reply, &times.reply, 0, &e), 0, "%s", error_text(&e));
        expect_prices(s, "5 8");
        cr_assert_str_eq(s->levels[1].updated.s, "80");
        cr_assert_eq(s->n_sizes_only, 1);
        cr_assert_str_eq(s->sizes_only[0].s, "9");
        cr_assert_eq(s->n_times_only, 1);
        cr_assert_str_eq(s->times_only[0].s, "4");
        cr_assert_eq(orderbook_side_parse(s, &sizes.reply, &times.reply, ORDERBOOK_KEEP_ZEROS, &e), 0);
        expect_prices(s, "5 7 8");

        /* the next book has nothing of this one */
        (void) HASH(&sizes, "1", "1");
        (void) HASH(&times, "1", "1");
        cr_assert_eq(orderbook_side_parse(s, &sizes.reply, &times.reply, 0, &e), 0);
        expect_prices(s, "1");
        cr_assert_eq(s->n_sizes_only + s->n_times_only, 0);
        (void) hash_of(&sizes, 0, NULL);
        (void) hash_of(&times, 0, NULL);
        cr_assert_eq(orderbook_side_parse(s, &sizes.reply, &times.reply, 0, &e), 0);
        cr_assert_eq(s->n, 0);
}

Test(orderbook, garbage_is_named) {
        static const struct {
                const char *price, *size, *updated, *said;
                unsigned flags;
                bool bad;
        } cases[] = {
                { "1", "x", "1", "at price \"1\": the size \"x\" is no number", 0, true },
                { "1", "", "1", "the size \"\"", 0, true },
                { "abc", "1", "1", NULL, 0, false },
                { "1", "1", "x", NULL, 0, false },
                { "abc", "1", "1", "the price \"abc\" is no number", ORDERBOOK_NUMBERS, true },
                { "1", "1", "x", "at price \"1\": the time \"x\" is no number", ORDERBOOK_NUMBERS, true },
                { "1", "1", "1.5", NULL, ORDERBOOK_NUMBERS, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_orderbook_ Orderbook b = { 0 };
                _cleanup_error_ Error e = ERROR_INIT;
                Hash sizes, times;
                int r;

                (void) HASH(&sizes, cases[i].price, cases[i].size);
                (void) HASH(&times, cases[i].price, cases[i].updated);
                r = orderbook_side_parse(&b.sides[0], &sizes.reply, &times.reply, cases[i].flags, &e);
                cr_assert_eq(r, cases[i].bad ? -EBADMSG : 0, "case %zu", i);
                cr_assert(!cases[i].bad || strstr(error_text(&e), cases[i].said), "%s", error_text(&e));
        }
}

Test(orderbook, what_is_no_hash_is_refused) {
        _cleanup_orderbook_ Orderbook b = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        Hash sizes, odd;
        redisReply nil = { .type = REDIS_REPLY_NIL };

        (void) HASH(&sizes, "1", "1");
        (void) HASH(&odd, "1");
        cr_assert_eq(orderbook_side_parse(&b.sides[0], &sizes.reply, &odd.reply, 0, &e), -EBADMSG);
        cr_assert_eq(orderbook_side_parse(&b.sides[0], &sizes.reply, &nil, 0, &e), -EBADMSG);
        cr_assert_eq(orderbook_side_parse(&b.sides[0], &sizes.reply, NULL, 0, &e), -EBADMSG);
        sizes.elements[1] = &nil;
        cr_assert_eq(orderbook_side_parse(&b.sides[0], &sizes.reply, &sizes.reply, 0, &e), -EBADMSG);
}

static void fill(Orderbook *b, OrderbookSideName side, size_t n, const char *const (*levels)[3]) {
        static Hash sizes, times;
        const char *a[64], *t[64];
        _cleanup_error_ Error e = ERROR_INIT;

        for (size_t i = 0; i < n; i++) {
                a[2 * i] = t[2 * i] = levels[i][0];
                a[2 * i + 1] = levels[i][1];
                t[2 * i + 1] = levels[i][2];
        }
        cr_assert_eq(orderbook_side_parse(&b->sides[side], hash_of(&sizes, 2 * n, a), hash_of(&times, 2 * n, t),
                                          ORDERBOOK_NUMBERS, &e),
                     0, "%s", error_text(&e));
        cr_assert_eq(orderbook_side_sort(&b->sides[side], side), 0);
}

/* The book of section 11. */
static const char *const example_bids[][3] = { { "99", "12", "1000000" },
                                               { "100.5", "40", "1000050" },
                                               { "100.4", "10", "1000095" } };
static const char *const example_asks[][3] = { { "101", "9", "1000000" },
                                               { "100.2", "5", "1000090" },
                                               { "100.4", "7", "1000020" } };

Test(orderbook, the_two_rules_differ) {
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookCut cut;

        fill(&b, ORDERBOOK_BUY, 3, example_bids);
        fill(&b, ORDERBOOK_SELL, 3, example_asks);
        expect_prices(&b.sides[ORDERBOOK_BUY], "100.5 100.4 99");
        expect_prices(&b.sides[ORDERBOOK_SELL], "100.2 100.4 101");
        cut = orderbook_read_rule(&b);
        cr_assert_eq(cut.bids, 0);
        cr_assert_eq(cut.asks, 2);
        cut = orderbook_uncross_rule(&b);
        cr_assert_eq(cut.bids, 1);
        cr_assert_eq(cut.asks, 2);
}

Test(orderbook, a_full_tie_costs_the_bid) {
        static const char *const bids[][3] = { { "5", "1", "7" } }, *const asks[][3] = { { "5", "1", "7" } };
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookCut cut;

        fill(&b, ORDERBOOK_BUY, 1, bids);
        fill(&b, ORDERBOOK_SELL, 1, asks);
        cut = orderbook_read_rule(&b);
        cr_assert_eq(cut.bids * 10 + cut.asks, 10);
        cut = orderbook_uncross_rule(&b);
        cr_assert_eq(cut.bids * 10 + cut.asks, 10);
}

Test(orderbook, sorting_is_stable) {
        static const char *const levels[][3] = {
                { "1.0", "1", "1" }, { "2", "1", "1" }, { "1", "1", "1" }, { "01", "1", "1" }, { "2.0", "1", "1" }
        };
        _cleanup_orderbook_ Orderbook b = { 0 };

        fill(&b, ORDERBOOK_BUY, 5, levels);
        expect_prices(&b.sides[ORDERBOOK_BUY], "2 2.0 1.0 1 01");
        fill(&b, ORDERBOOK_SELL, 5, levels);
        expect_prices(&b.sides[ORDERBOOK_SELL], "1.0 1 01 2 2.0");
}

Test(orderbook, mid_price_of_the_book_that_readers_see) {
        static const char *const low[][3] = { { "0.31", "1", "1" } }, *const high[][3] = { { "0.33", "1", "1" } },
                                 *const tiny[][3] = { { "0.00000000712", "1", "1" } },
                                 *const tiny2[][3] = { { "0.00000000714", "1", "1" } };
        _cleanup_orderbook_ Orderbook b = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        char *price = NULL;

        fill(&b, ORDERBOOK_BUY, 3, example_bids);
        fill(&b, ORDERBOOK_SELL, 3, example_asks);
        cr_assert_eq(orderbook_mid_price(&b, &price, &e), 0);
        cr_assert_str_eq(price, "100.75");
        free(price);
        fill(&b, ORDERBOOK_BUY, 1, low);
        fill(&b, ORDERBOOK_SELL, 1, high);
        cr_assert_eq(orderbook_mid_price(&b, &price, &e), 0);
        cr_assert_str_eq(price, "0.32");
        free(price);
        fill(&b, ORDERBOOK_BUY, 1, tiny);
        fill(&b, ORDERBOOK_SELL, 1, tiny2);
        cr_assert_eq(orderbook_mid_price(&b, &price, &e), 0);
        cr_assert_str_eq(price, "0.00000000713");
        free(price);
        /* hidden completely, and one side empty */
        fill(&b, ORDERBOOK_BUY, 1, high);
        fill(&b, ORDERBOOK_SELL, 1, low);
        cr_assert_eq(orderbook_mid_price(&b, &price, &e), 0);
        cr_assert_null(price);
        fill(&b, ORDERBOOK_SELL, 0, NULL);
        cr_assert_eq(orderbook_mid_price(&b, &price, &e), 0);
        cr_assert_null(price);
}

Test(orderbook, levels_as_text) {
        static const char *const levels[][3] = { { "2", "1", "7" }, { "1", "5", "8.5" } };
        _cleanup_orderbook_ Orderbook b = { 0 };
        _cleanup_buffer_ Buffer text = { 0 };

        fill(&b, ORDERBOOK_BUY, 2, levels);
        cr_assert_eq(orderbook_levels_append_json(&b.sides[ORDERBOOK_BUY], 10, &text), 0);
        cr_assert_str_eq(text.data, "[{\"humanPrice\":\"2\",\"quantums\":\"1\",\"lastUpdated\":\"7\"},"
                                    "{\"humanPrice\":\"1\",\"quantums\":\"5\",\"lastUpdated\":\"8.5\"}]");
        buffer_clear(&text);
        cr_assert_eq(orderbook_levels_append_json(&b.sides[ORDERBOOK_BUY], 0, &text), 0);
        cr_assert_str_eq(text.data, "[]");
}
