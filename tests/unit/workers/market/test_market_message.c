/* Differences and message of market_updater, without servers. Expected bytes: market specification, 9.6 to 9.8. */

#include <criterion/criterion.h>

#include "workers/market/market_statistics.h"

static Market market(const char *ticker, unsigned published) {
        return (Market){
                .id = "4", .ticker = ticker, .published = published, .stored = { "1.5", "1000", "3", "0.00001", "20" }
        };
}

Test(market_diff, compares_texts) {
        char volume[] = "1000", interest[] = "20.00";
        Market m = market("SOL-USD", 0);

        m.computed[MARKET_VOLUME] = volume;
        m.computed[MARKET_OPEN_INTEREST] = interest;
        market_diff(&m);
        cr_assert_eq(m.changed, 1u << MARKET_OPEN_INTEREST);
        m.stored[MARKET_OPEN_INTEREST] = "20.00";
        market_diff(&m);
        cr_assert_eq(m.changed, 0);
}

static void expect_contents(const Market *markets, size_t n, const char *expected) {
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert_eq(market_message_contents(markets, n, &b), 1);
        cr_assert_str_eq(b.data, expected);
}

Test(market_message, worked_example) {
        static const char hex[] =
                "0a8c017b2274726164696e67223a7b22534f4c2d555344223a7b2270726963654368616e6765323448223a222d312e35222c22"
                "766f"
                "6c756d65323448223a223136302e323530222c22747261646573323448223a322c226e65787446756e64696e6752617465223a"
                "2230"
                "2e303030303132383735222c226f70656e496e746572657374223a2232302e3030227d7d7d1205312e302e30";
        static const char *const computed[] = { "-1.5", "160.250", "2", "0.000012875", "20.00" };
        _cleanup_buffer_ Buffer contents = { 0 }, value = { 0 }, text = { 0 };
        Market m = market("SOL-USD", 0);

        memcpy(m.computed, computed, sizeof(computed));
        market_diff(&m);
        m.published = m.changed;
        cr_assert_eq(market_message_contents(&m, 1, &contents), 1);
        cr_assert_eq(contents.length, 140);
        cr_assert_eq(market_message_encode(&contents, &value), 0);
        cr_assert_eq(value.length, 150);
        for (size_t i = 0; i < value.length; i++)
                (void) buffer_printf(&text, "%02x", (uint8_t) value.data[i]);
        cr_assert_str_eq(text.data, hex);
}

Test(market_message, nothing_published_is_no_message) {
        _cleanup_buffer_ Buffer b = { 0 };
        Market m = market("SOL-USD", 0);

        cr_assert_eq(market_message_contents(&m, 1, &b), 0);
        cr_assert_eq(market_message_contents(NULL, 0, &b), 0);
}

Test(market_message, exactly_the_published_columns_in_the_order_of_the_list) {
        Market markets[] = { market("B-USD", 1u << MARKET_TRADES), market("C-USD", 0),
                             market("A-USD", 1u << MARKET_VOLUME) };

        expect_contents(markets, 3, "{\"trading\":{\"B-USD\":{\"trades24H\":3},\"A-USD\":{\"volume24H\":\"1000\"}}}");
}

Test(market_message, of_one_ticker_the_last_wins_at_the_first_place) {
        Market markets[] = { market("A-USD", 1u << MARKET_TRADES), market("B-USD", 1u << MARKET_TRADES),
                             market("A-USD", 1u << MARKET_VOLUME) };

        expect_contents(markets, 3, "{\"trading\":{\"A-USD\":{\"volume24H\":\"1000\"},\"B-USD\":{\"trades24H\":3}}}");
}

Test(market_message, escapes_as_javascript_does) {
        Market m = market("A,\"B\"\\\n\x01/\xc3\xa9", 1u << MARKET_TRADES);

        expect_contents(&m, 1, "{\"trading\":{\"A,\\\"B\\\"\\\\\\n\\u0001/\xc3\xa9\":{\"trades24H\":3}}}");
}

Test(market_message, lengths_take_as_many_groups_as_they_need) {
        static const size_t lengths[] = { 0, 127, 128, 16383, 16384 }, heads[] = { 2, 2, 3, 3, 4 };

        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                _cleanup_buffer_ Buffer contents = { 0 }, value = { 0 };

                for (size_t k = 0; k < lengths[i]; k++)
                        (void) buffer_append_string(&contents, "x");
                cr_assert_eq(market_message_encode(&contents, &value), 0);
                cr_assert_eq(value.length, heads[i] + lengths[i] + 7, "length %zu", lengths[i]);
        }
}

Test(market_column, names_and_back) {
        for (unsigned i = 0; i < MARKET_COLUMNS; i++) {
                const char *name = market_column_name(i);

                cr_assert_eq(market_column_from_name(name, strlen(name)), (int) i);
        }
        cr_assert_eq(market_column_from_name("volume24", 8), -1);
}
