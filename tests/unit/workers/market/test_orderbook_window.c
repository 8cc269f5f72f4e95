/* Windows of the best levels of a side: together they are the side, sorted, whatever the order in which levels are
 * shown, and none is larger than it may be. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "workers/market/orderbook_window.h"

enum { LEVELS = 5 * ORDERBOOK_WINDOW + 17 };

typedef struct Text {
        char price[16];
} Text;

static OrderbookLevel level_of(const Text *t) {
        return (OrderbookLevel){ .price = { t->price, strlen(t->price) },
                                 .size = { "1", 1 },
                                 .updated = { "2", 1 },
                                 .price_number = atof(t->price) };
}

/* Prices 1 … n/2, each in two forms, in a random order that is the same each time. */
static Text *make_texts(size_t n) {
        Text *texts = calloc(n, sizeof(*texts));
        uint64_t random = 1;

        cr_assert_not_null(texts);
        for (size_t i = 0; i < n; i++)
                (void) snprintf(texts[i].price, sizeof(texts[i].price), "%zu%s", i / 2 + 1, i % 2 ? ".0" : "");
        for (size_t i = n - 1; i > 0; i--) {
                Text t = texts[i];
                size_t other;

                random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                other = (size_t) (random >> 33) % (i + 1);
                texts[i] = texts[other];
                texts[other] = t;
        }
        return texts;
}

/* Shows all levels. */
static void show(OrderbookWindow *w, const Text *texts, size_t n) {
        for (size_t i = 0; i < n; i++) {
                OrderbookLevel l = level_of(texts + i);

                cr_assert_eq(orderbook_window_add(w, &l), 0);
                cr_assert_leq(w->side->n, w->side->allocated);
                cr_assert_leq(w->side->allocated, 2 * ORDERBOOK_WINDOW);
        }
        orderbook_window_finish(w);
}

static void expect_level(const OrderbookWindow *w, size_t i, size_t n) {
        size_t place = w->name == ORDERBOOK_BUY ? (n - 1) / 2 - i / 2 : i / 2;
        Text expected;

        (void) snprintf(expected.price, sizeof(expected.price), "%zu%s", place + 1, i % 2 ? ".0" : "");
        cr_assert_gt(w->side->n, 0);
        cr_assert_str_eq(w->side->levels[0].price.s, expected.price, "level %zu", i);
        cr_assert_str_eq(w->side->levels[0].updated.s, "2");
}

static void go_through(OrderbookSideName name, size_t step) {
        const size_t n = LEVELS / 2 * 2;
        _cleanup_free_ Text *texts = make_texts(n);
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookWindow w = { .name = name, .side = &b.sides[name] };
        size_t taken = 0;

        for (;;) {
                show(&w, texts, n);
                cr_assert_eq(w.side->n + w.side->beyond, n - taken);
                if (taken == n)
                        break;
                cr_assert_eq(w.side->n, n - taken < ORDERBOOK_WINDOW ? n - taken : ORDERBOOK_WINDOW);
                for (size_t i = 1; i < w.side->n; i++)
                        cr_assert(name == ORDERBOOK_BUY
                                          ? w.side->levels[i - 1].price_number >= w.side->levels[i].price_number
                                          : w.side->levels[i - 1].price_number <= w.side->levels[i].price_number);
                expect_level(&w, taken, n);
                orderbook_window_next(&w, step < w.side->n ? step : w.side->n);
                taken = taken + step < n ? taken + step : n;
        }
        orderbook_window_done(&w);
}

Test(orderbook_window, bids_from_the_highest) {
        go_through(ORDERBOOK_BUY, ORDERBOOK_WINDOW);
}

Test(orderbook_window, asks_from_the_lowest) {
        go_through(ORDERBOOK_SELL, ORDERBOOK_WINDOW);
}

Test(orderbook_window, the_next_begins_behind_what_was_taken) {
        go_through(ORDERBOOK_BUY, 1501);
        go_through(ORDERBOOK_SELL, 1999);
}

Test(orderbook_window, what_is_shown_twice_is_there_once) {
        _cleanup_free_ Text *texts = make_texts(2000);
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookWindow w = { .name = ORDERBOOK_SELL, .side = &b.sides[ORDERBOOK_SELL] };

        for (size_t i = 0; i < 1000; i++) {
                OrderbookLevel l = level_of(texts + i);

                for (int times = 0; times < 3; times++)
                        cr_assert_eq(orderbook_window_add(&w, &l), 0);
        }
        orderbook_window_finish(&w);
        cr_assert_eq(w.side->n, 1000);
        cr_assert_eq(w.side->beyond, 0);
        orderbook_window_done(&w);
}

/* Of a full window, too: only the number of those that do not fit is an upper bound then. */
Test(orderbook_window, what_is_shown_twice_of_more_than_fits) {
        const size_t n = LEVELS / 2 * 2;
        _cleanup_free_ Text *texts = make_texts(n);
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookWindow w = { .name = ORDERBOOK_SELL, .side = &b.sides[ORDERBOOK_SELL] };

        for (int times = 0; times < 2; times++)
                for (size_t i = 0; i < n; i++) {
                        OrderbookLevel l = level_of(texts + i);

                        cr_assert_eq(orderbook_window_add(&w, &l), 0);
                }
        orderbook_window_finish(&w);
        cr_assert_eq(w.side->n, ORDERBOOK_WINDOW);
        for (size_t i = 0; i < w.side->n; i++) {
                char expected[32];

                (void) snprintf(expected, sizeof(expected), "%zu%s", i / 2 + 1, i % 2 ? ".0" : "");
                cr_assert_str_eq(w.side->levels[i].price.s, expected);
        }
        cr_assert(w.side->beyond >= n - ORDERBOOK_WINDOW && w.side->beyond <= 2 * n - ORDERBOOK_WINDOW);
        orderbook_window_done(&w);
}

Test(orderbook_window, nothing_taken_is_the_same_again) {
        _cleanup_free_ Text *texts = make_texts(100);
        _cleanup_orderbook_ Orderbook b = { 0 };
        OrderbookWindow w = { .name = ORDERBOOK_BUY, .side = &b.sides[ORDERBOOK_BUY] };

        for (int i = 0; i < 2; i++) {
                show(&w, texts, 100);
                cr_assert_eq(w.side->n, 100);
                expect_level(&w, 0, 100);
                orderbook_window_next(&w, 0);
        }
        orderbook_window_done(&w);
}
