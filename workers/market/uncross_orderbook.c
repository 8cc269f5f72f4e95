/* uncross_orderbook: updates of a book arrive out of order across orders, so that stale levels may leave the best bid
 * at or above the best ask. The older levels go, once they are old enough (market specification, section 11). */

#include <stdio.h>

#include "workers/market/market.h"
#include "workers/market/orderbook_read.h"
#include "workers/market/orderbook_scripts.h"

/* Levels of a side that a record names, and records about levels that stay: a book of thousands of them must not fill
 * the journal each time. Their numbers are always there. */
#define LEVELS_LOGGED 100

/* The levels that one crossed book, or a window of it, gives up. Their script is a command of the page's pipeline. */
typedef struct Crossing {
        const OrderbookMarket *market;
        OrderbookCut cut;
        char **prices; /* bids, then asks */
} Crossing;

typedef struct Uncross {
        TaskContext *ctx;
        char age[32]; /* seconds, as text */
        RedisPipeline *pipeline;
        Crossing crossings[ORDERBOOK_PAGE];
        size_t n;
        size_t crossed, deleted, kept; /* of the run */
} Uncross;

static void crossing_done(Crossing *c) {
        for (size_t i = 0; i < c->cut.bids + c->cut.asks && c->prices; i++)
                free(c->prices[i]);
        free(c->prices);
        *c = (Crossing){ 0 };
}

static void uncross_clear(Uncross *u) {
        for (size_t i = 0; i < u->n; i++)
                crossing_done(u->crossings + i);
        u->n = 0;
        redis_pipeline_clear(u->pipeline);
}

static void uncross_done(Uncross *u) {
        if (!u->pipeline)
                return;
        uncross_clear(u);
        redis_pipeline_free(u->pipeline);
}

/* The i-th of the levels that go: bids, then asks. */
static const OrderbookLevel *level_at(const Crossing *c, const Orderbook *b, size_t i) {
        return i < c->cut.bids ? b->sides[ORDERBOOK_BUY].levels + i
                               : b->sides[ORDERBOOK_SELL].levels + (i - c->cut.bids);
}

static size_t named(size_t n) {
        return n < LEVELS_LOGGED ? n : LEVELS_LOGGED;
}

static void log_removal(TaskContext *ctx, const OrderbookMarket *m, const Orderbook *b, OrderbookCut cut) {
        _cleanup_buffer_ Buffer bids = { 0 }, asks = { 0 };

        if (log_max_level() < LOG_LEVEL_INFO ||
            orderbook_levels_append_json(&b->sides[ORDERBOOK_BUY], named(cut.bids), &bids) < 0 ||
            orderbook_levels_append_json(&b->sides[ORDERBOOK_SELL], named(cut.asks), &asks) < 0)
                return;
        task_log(ctx, LOG_LEVEL_INFO, "uncrossOrderbook#uncrossOrderbook",
                 (const LogField[]){ LOG_STRING("REMOVED_BIDS", "removedBids", bids.data),
                                     LOG_STRING("REMOVED_ASKS", "removedAsks", asks.data),
                                     LOG_INT("REMOVED_BIDS_COUNT", "removedBidsCount", (int64_t) cut.bids),
                                     LOG_INT("REMOVED_ASKS_COUNT", "removedAsksCount", (int64_t) cut.asks) },
                 4, "Uncrossing orderbook for %s", m->ticker);
}

/* Copies of the prices, for what is said afterwards. */
static int keep_prices(Crossing *c, const Orderbook *b) {
        const size_t n = c->cut.bids + c->cut.asks;

        c->prices = calloc(n, sizeof(*c->prices));
        if (!c->prices)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                c->prices[i] = strdup(level_at(c, b, i)->price.s);
                if (!c->prices[i])
                        return -ENOMEM;
        }
        return 0;
}

static int add_script(Uncross *u, const Crossing *c, const Orderbook *b) {
        const size_t n = c->cut.bids + c->cut.asks;
        _cleanup_free_ const char **args = calloc(2 + 2 * n, sizeof(*args));
        char *keys[2 * ORDERBOOK_SIDES], bids[24];
        int r = args ? 0 : -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                keys[i] = orderbook_key(c->market->ticker, (OrderbookSideName) (i / 2), i % 2);
                if (!keys[i])
                        r = -ENOMEM;
        }
        if (r >= 0) {
                (void) snprintf(bids, sizeof(bids), "%zu", c->cut.bids);
                args[0] = u->age;
                args[1] = bids;
                for (size_t i = 0; i < n; i++) {
                        args[2 + 2 * i] = level_at(c, b, i)->price.s;
                        args[2 + 2 * i + 1] = level_at(c, b, i)->updated.s;
                }
                r = redis_pipeline_add_script(u->pipeline, &orderbook_script_delete_stale, ELEMENTSOF(keys),
                                              (const char *const *) keys, 2 + 2 * n, args);
        }
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                free(keys[i]);
        return r;
}

/* What became of n levels of a side, of which removed[i] tells. */
static void report_side(Uncross *u, const Crossing *c, OrderbookSideName side, char *const *prices, size_t n,
                        redisReply *const *removed) {
        const char *name = orderbook_side_to_string(side);
        const MetricTag tags[] = { { "side", name },
                                   { "clobPairId", c->market->clob_pair_id },
                                   { "ticker", c->market->ticker } };
        size_t kept = 0;

        task_count(u->ctx, "expected_uncross_orderbook_levels", (int64_t) n, tags, ELEMENTSOF(tags));
        for (size_t i = 0; i < n; i++) {
                if (removed[i]->type == REDIS_REPLY_INTEGER && removed[i]->integer == 1)
                        continue;
                if (++kept > LEVELS_LOGGED)
                        continue;
                task_log(u->ctx, LOG_LEVEL_INFO, "uncrossOrderbook#deleteStalePriceLevel",
                         (const LogField[]){ LOG_STRING("SIDE", "side", name),
                                             LOG_STRING("HUMAN_PRICE", "humanPrice", prices[i]),
                                             LOG_STRING("TICKER", "ticker", c->market->ticker) },
                         3, "Failed to delete stale %s level for %s", side == ORDERBOOK_BUY ? "bid" : "ask",
                         c->market->ticker);
        }
        if (kept > 0)
                task_count(u->ctx, "uncross_orderbook_failed", (int64_t) kept, tags, ELEMENTSOF(tags));
        if (n > kept)
                task_count(u->ctx, "uncross_orderbook_succeed", (int64_t) (n - kept), tags, ELEMENTSOF(tags));
        u->kept += kept;
        u->deleted += n - kept;
}

static int report(Uncross *u, const Crossing *c, const redisReply *reply, Error *reterr) {
        const size_t n = c->cut.bids + c->cut.asks;
        int r;

        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "delete_stale_levels", reterr);
        if (r < 0)
                return r;
        if (reply->elements != n)
                return error_set(reterr, ERROR_NEVER, -EBADMSG,
                                 "redis: delete_stale_levels: %zu answers for %zu levels", reply->elements, n);
        report_side(u, c, ORDERBOOK_BUY, c->prices, c->cut.bids, reply->element);
        report_side(u, c, ORDERBOOK_SELL, c->prices + c->cut.bids, c->cut.asks, reply->element + c->cut.bids);
        return 0;
}

/* Removes what the page's books give up. */
static int delete_stale(Uncross *u, Error *reterr) {
        bool done = false;
        int r = 0;

        if (u->n > 0)
                r = task_redis_write(u->ctx, "delete_stale_levels", u->pipeline, &done, reterr);
        for (size_t i = 0; i < u->n && r >= 0 && done; i++)
                r = report(u, u->crossings + i, redis_pipeline_reply(u->pipeline, i), reterr);
        uncross_clear(u);
        return r;
}

static int on_book(const OrderbookMarket *m, Orderbook *b, void *userdata, Error *reterr) {
        const OrderbookLevel *bid = orderbook_side_best(&b->sides[ORDERBOOK_BUY], ORDERBOOK_BUY),
                             *ask = orderbook_side_best(&b->sides[ORDERBOOK_SELL], ORDERBOOK_SELL);
        const MetricTag ticker = { "ticker", m->ticker };
        Uncross *u = userdata;
        Crossing *c = u->crossings + u->n;
        int r;

        /* few books are crossed: only they are sorted. Prices of one double may still differ, which the rule sees */
        if (!bid || !ask || bid->price_number < ask->price_number)
                return 0;
        if (orderbook_side_sort(&b->sides[ORDERBOOK_BUY], ORDERBOOK_BUY) < 0 ||
            orderbook_side_sort(&b->sides[ORDERBOOK_SELL], ORDERBOOK_SELL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", m->ticker);
        *c = (Crossing){ .market = m, .cut = orderbook_uncross_rule(b) };
        if (c->cut.bids + c->cut.asks == 0)
                return 0;
        u->n++;
        if (b->window == 0) {
                u->crossed++;
                task_count(u->ctx, "crossed_orderbook", 1, &ticker, 1);
        }
        log_removal(u->ctx, m, b, c->cut);
        if (keep_prices(c, b) < 0 || add_script(u, c, b) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the levels of %s", m->ticker);
        if (orderbook_cut_is_final(b, c->cut))
                return 0;
        /* What a window gives up can go before the next is looked at: the losers so far are those of the whole book,
         * and of what stays of them the rule would make the same choice again, because it lost to something as young.
         */
        b->taken = c->cut;
        r = delete_stale(u, reterr);
        return r < 0 ? r : ORDERBOOK_MORE;
}

static int uncross(Uncross *u, const OrderbookMarkets *l, Error *reterr) {
        _cleanup_(orderbook_reader_freep) OrderbookReader *reader = NULL;
        const OrderbookMarket *page[ORDERBOOK_PAGE];
        int r;

        r = redis_pipeline_new(&u->pipeline);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for a pipeline");
        r = orderbook_reader_new(u->ctx, ORDERBOOK_NUMBERS, on_book, u, &reader, reterr);
        for (size_t i = 0; i < l->n && r >= 0;) {
                size_t n = 0;

                while (n < ORDERBOOK_PAGE && i < l->n)
                        page[n++] = l->markets + i++;
                r = orderbook_reader_page(reader, page, n, reterr);
                if (r >= 0)
                        r = delete_stale(u, reterr);
        }
        return r;
}

int uncross_orderbook_run(TaskContext *ctx) {
        _cleanup_orderbook_markets_ OrderbookMarkets l = { 0 };
        _cleanup_(uncross_done) Uncross u = { .ctx = ctx };
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t age = settings_duration_usec(task_settings(ctx), "market.stale_orderbook_level_threshold");
        int r;

        (void) snprintf(u.age, sizeof(u.age), "%llu.%06llu", (unsigned long long) (age / USEC_PER_SEC),
                        (unsigned long long) (age % USEC_PER_SEC));
        r = orderbook_markets_read(ctx, orderbook_default_server(ctx), &l, &e);
        if (r >= 0)
                r = uncross(&u, &l, &e);
        task_field_int(ctx, "markets", (int64_t) l.n);
        task_field_int(ctx, "crossed_markets", (int64_t) u.crossed);
        task_field_int(ctx, "deleted_levels", (int64_t) u.deleted);
        task_field_int(ctx, "kept_levels", (int64_t) u.kept);
        return r < 0 ? task_fail(ctx, &e) : 0;
}
