/* delete_zero_price_levels: removes levels of size zero, which the writer of the books leaves behind (market
 * specification, section 10). What is found is only a candidate: the script looks again, so that a level which was
 * filled meanwhile stays. */

#include <stdio.h>

#include "workers/market/market.h"
#include "workers/market/orderbook_read.h"
#include "workers/market/orderbook_scripts.h"

/* A hash of more fields is not read at once but page by page. */
#define LARGE_HASH 5000
/* Scripts of one pipeline. */
#define DELETE_PAGE 1000

/* A level that was read with size zero; its price is at `offset` in the buffer. */
typedef struct ZeroLevel {
        const OrderbookMarket *market;
        OrderbookSideName side;
        size_t offset;
} ZeroLevel;

typedef struct ZeroLevels {
        TaskContext *ctx;
        RedisPipeline *pipeline;
        ZeroLevel *levels;
        size_t n, allocated;
        Buffer prices; /* NUL-terminated, one after the other */
        size_t deleted;
} ZeroLevels;

static void zero_levels_done(ZeroLevels *z) {
        free(z->levels);
        buffer_done(&z->prices);
        if (z->pipeline)
                redis_pipeline_free(z->pipeline);
}

static bool is_zero(OrderbookText size) {
        return size.n == 1 && size.s[0] == '0';
}

static int add_zero(ZeroLevels *z, const OrderbookMarket *m, OrderbookSideName side, OrderbookText price,
                    Error *reterr) {
        if (memchr(price.s, '\0', price.n))
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the price \"%.60s…\" is no number", price.s);
        if (z->n == z->allocated) {
                size_t wanted = z->allocated > 0 ? 2 * z->allocated : 256;
                ZeroLevel *grown = reallocarray(z->levels, wanted, sizeof(*grown));

                if (!grown)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu levels", wanted);
                z->levels = grown;
                z->allocated = wanted;
        }
        z->levels[z->n++] = (ZeroLevel){ .market = m, .side = side, .offset = z->prices.length };
        if (buffer_append(&z->prices, price.s, price.n) < 0 || buffer_append(&z->prices, "", 1) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu levels", z->n);
        return 0;
}

static int on_book(const OrderbookMarket *m, Orderbook *book, void *userdata, Error *reterr) {
        ZeroLevels *z = userdata;
        size_t known = z->n;

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++)
                for (size_t i = 0; i < book->sides[side].n; i++) {
                        const OrderbookLevel *l = book->sides[side].levels + i;
                        int r = is_zero(l->size) ? add_zero(z, m, side, l->price, reterr) : 0;

                        if (r < 0) {
                                z->n = known; /* a book with a bad value is left alone as a whole */
                                return r;
                        }
                }
        return 0;
}

/* One page of orderbook_script_scan; ret_page is borrowed until the next. */
static int scan_page(ZeroLevels *z, const OrderbookMarket *m, OrderbookSideName side, bool by_times, const char *cursor,
                     const redisReply **ret_page, Error *reterr) {
        _cleanup_free_ char *scanned = orderbook_key(m->ticker, side, by_times),
                            *other = orderbook_key(m->ticker, side, !by_times);
        const redisReply *reply;
        int r;

        redis_pipeline_clear(z->pipeline);
        if (!scanned || !other ||
            redis_pipeline_add_script(z->pipeline, &orderbook_script_scan, 2, (const char *const[]){ scanned, other },
                                      1, &cursor) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for market %s", m->ticker);
        r = task_redis_read(z->ctx, "scan_orderbook", z->pipeline, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(z->pipeline, 0);
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "HSCAN", reterr);
        if (r < 0)
                return reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "WRONGTYPE") ? -EBADMSG : r;
        if (reply->elements % 3 != 1 || reply->element[0]->type != REDIS_REPLY_STRING)
                return error_set(reterr, ERROR_NEVER, -EIO, "redis: HSCAN: %zu values", reply->elements);
        *ret_page = reply;
        return 0;
}

/* Fields without a partner are reported; of those with one, sizes of zero are taken. */
static int take_page(ZeroLevels *z, const OrderbookMarket *m, OrderbookSideName side, bool by_times,
                     const redisReply *page, Error *reterr) {
        _cleanup_free_ OrderbookText *alone = calloc(page->elements / 3 + 1, sizeof(*alone));
        size_t n_alone = 0;

        if (!alone)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu levels", page->elements / 3);
        for (size_t i = 1; i + 2 < page->elements; i += 3) {
                const redisReply *name = page->element[i], *value = page->element[i + 1];
                OrderbookText price = { name->str, name->len }, size = { value->str, value->len };
                double number;
                int r = 0;

                if (page->element[i + 2]->type == REDIS_REPLY_NIL)
                        alone[n_alone++] = price;
                else if (!by_times && orderbook_number(size, &number) < 0)
                        r = error_set(reterr, ERROR_NEVER, -EBADMSG,
                                      "%s: at price \"%.60s\": the size \"%.60s\" is no number",
                                      orderbook_side_to_string(side), price.s, size.s);
                else if (!by_times && is_zero(size))
                        r = add_zero(z, m, side, price, reterr);
                if (r < 0)
                        return r;
        }
        orderbook_report_mismatch(z->ctx, m, side, alone, by_times ? 0 : n_alone, alone, by_times ? n_alone : 0);
        return 0;
}

static int scan_side(ZeroLevels *z, const OrderbookMarket *m, OrderbookSideName side, bool by_times, Error *reterr) {
        char cursor[32] = "0";
        int r;

        do {
                const redisReply *page = NULL;

                r = scan_page(z, m, side, by_times, cursor, &page, reterr);
                if (r >= 0)
                        r = take_page(z, m, side, by_times, page, reterr);
                if (r < 0)
                        return r;
                (void) snprintf(cursor, sizeof(cursor), "%s", page->element[0]->str);
        } while (!str_eq(cursor, "0"));
        return 0;
}

static int scan_book(ZeroLevels *z, const OrderbookMarket *m, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *item = NULL;
        size_t known = z->n;
        int r = 0;

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES && r >= 0; side++)
                for (int by_times = 0; by_times < 2 && r >= 0; by_times++)
                        r = scan_side(z, m, side, by_times, &e);
        if (r >= 0)
                return 0;
        if (r != -EBADMSG) {
                error_move(reterr, &e);
                return r;
        }
        z->n = known;
        item = orderbook_item(m);
        task_item_failed(z->ctx, item ? item : m->ticker, "%s", error_text(&e));
        return 0;
}

/* Sets large[i] for the markets of the page with a hash that is not to be read at once. */
static int find_large(ZeroLevels *z, const OrderbookMarket *markets, size_t n, bool *large, Error *reterr) {
        const size_t per_market = 2 * ORDERBOOK_SIDES;
        int r = 0;

        redis_pipeline_clear(z->pipeline);
        for (size_t i = 0; i < n * per_market && r >= 0; i++) {
                _cleanup_free_ char *key = orderbook_key(markets[i / per_market].ticker,
                                                         (OrderbookSideName) (i / 2 % ORDERBOOK_SIDES), i % 2);

                r = key ? redis_pipeline_addv(z->pipeline, "HLEN", key, NULL) : -ENOMEM;
        }
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for %zu markets", n);
        r = task_redis_read(z->ctx, "measure_orderbooks", z->pipeline, reterr);
        for (size_t i = 0; i < n * per_market && r >= 0; i++) {
                const redisReply *reply = redis_pipeline_reply(z->pipeline, i);

                /* what is no hash is reported where it is read */
                large[i / per_market] |= reply->type == REDIS_REPLY_INTEGER && reply->integer > LARGE_HASH;
        }
        return r;
}

static int delete_some(ZeroLevels *z, const ZeroLevel *levels, size_t n, Error *reterr) {
        bool done = false;
        int r = 0;

        redis_pipeline_clear(z->pipeline);
        for (size_t i = 0; i < n && r >= 0; i++) {
                _cleanup_free_ char *sizes = orderbook_key(levels[i].market->ticker, levels[i].side, false),
                                    *times = orderbook_key(levels[i].market->ticker, levels[i].side, true);
                const char *price = z->prices.data + levels[i].offset;

                r = sizes && times ? redis_pipeline_add_script(z->pipeline, &orderbook_script_delete_zero, 2,
                                                               (const char *const[]){ sizes, times }, 1, &price)
                                   : -ENOMEM;
        }
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for %zu levels", n);
        r = task_redis_write(z->ctx, "delete_zero_levels", z->pipeline, &done, reterr);
        for (size_t i = 0; i < n && r >= 0 && done; i++) {
                const redisReply *reply = redis_pipeline_reply(z->pipeline, i);

                r = redis_reply_check(reply, REDIS_REPLY_INTEGER, "delete_zero_levels", reterr);
                z->deleted += r >= 0 && reply->integer == 1;
        }
        return r;
}

static int delete_all(ZeroLevels *z, Error *reterr) {
        int r = 0;

        for (size_t i = 0; i < z->n && r >= 0; i += DELETE_PAGE)
                r = delete_some(z, z->levels + i, z->n - i < DELETE_PAGE ? z->n - i : DELETE_PAGE, reterr);
        z->n = 0;
        buffer_clear(&z->prices);
        return r;
}

static int clean_page(ZeroLevels *z, OrderbookReader *reader, const OrderbookMarket *markets, size_t n, Error *reterr) {
        const OrderbookMarket *small[ORDERBOOK_PAGE];
        bool large[ORDERBOOK_PAGE] = { false };
        size_t n_small = 0;
        int r;

        r = find_large(z, markets, n, large, reterr);
        for (size_t i = 0; i < n; i++)
                if (!large[i])
                        small[n_small++] = markets + i;
        if (r >= 0)
                r = orderbook_reader_page(reader, small, n_small, reterr);
        for (size_t i = 0; i < n && r >= 0; i++)
                if (large[i])
                        r = scan_book(z, markets + i, reterr);
        return r < 0 ? r : delete_all(z, reterr);
}

static int clean(TaskContext *ctx, const OrderbookMarkets *l, size_t *ret_deleted, Error *reterr) {
        _cleanup_(orderbook_reader_freep) OrderbookReader *reader = NULL;
        _cleanup_(zero_levels_done) ZeroLevels z = { .ctx = ctx };
        int r;

        r = redis_pipeline_new(&z.pipeline);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for a pipeline");
        r = orderbook_reader_new(ctx, ORDERBOOK_KEEP_ZEROS, on_book, &z, &reader, reterr);
        for (size_t i = 0; i < l->n && r >= 0; i += ORDERBOOK_PAGE)
                r = clean_page(&z, reader, l->markets + i, l->n - i < ORDERBOOK_PAGE ? l->n - i : ORDERBOOK_PAGE,
                               reterr);
        *ret_deleted = z.deleted;
        return r;
}

int delete_zero_price_levels_run(TaskContext *ctx) {
        _cleanup_orderbook_markets_ OrderbookMarkets l = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        size_t deleted = 0;
        int r;

        r = orderbook_markets_read(ctx, orderbook_default_server(ctx), &l, &e);
        if (r >= 0)
                r = clean(ctx, &l, &deleted, &e);
        task_field_int(ctx, "markets", (int64_t) l.n);
        task_field_int(ctx, "deleted_levels", (int64_t) deleted);
        if (r < 0)
                return task_fail(ctx, &e);
        task_gauge(ctx, "delete_zero_price_levels.num_levels_deleted", (double) deleted, NULL, 0);
        return 0;
}
