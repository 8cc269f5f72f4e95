/* delete_zero_price_levels: removes levels of size zero, which the writer of the books leaves behind (market
 * specification, section 10). What is found is only a candidate: the script looks again, so that a level which was
 * filled meanwhile stays. */

#include <stdio.h>

#include "workers/market/market.h"
#include "workers/market/orderbook_scan.h"
#include "workers/market/orderbook_scripts.h"

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

/* A price is kept as a string; none of the books' writer has a NUL. */
static bool is_storable(OrderbookText price) {
        return !memchr(price.s, '\0', price.n);
}

static int refuse_price(OrderbookText price, Error *reterr) {
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "the price \"%.60s\", followed by a NUL, is no number",
                         price.s);
}

static int add_zero(ZeroLevels *z, const OrderbookMarket *m, OrderbookSideName side, OrderbookText price,
                    Error *reterr) {
        if (!is_storable(price))
                return refuse_price(price, reterr);
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
                                (void) error_prefix(reterr, "%s", orderbook_side_to_string(side));
                                return r;
                        }
                }
        return 0;
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

static int check_levels(const OrderbookMarket *m, OrderbookSideName side, OrderbookLevel *levels, size_t n,
                        void *userdata, Error *reterr) {
        (void) m;
        (void) side;
        (void) userdata;
        for (size_t i = 0; i < n; i++)
                if (is_zero(levels[i].size) && !is_storable(levels[i].price))
                        return refuse_price(levels[i].price, reterr);
        return 0;
}

static int delete_levels(const OrderbookMarket *m, OrderbookSideName side, OrderbookLevel *levels, size_t n,
                         void *userdata, Error *reterr) {
        ZeroLevels *z = userdata;
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                r = is_zero(levels[i].size) ? add_zero(z, m, side, levels[i].price, reterr) : 0;
        return r < 0 || z->n == 0 ? r : delete_all(z, reterr);
}

/* A large book is gone through twice: once for bad values, which leave it alone as a whole, and once to remove what
 * each page has, so that there are never more levels in memory than those of a page. */
static int on_large(const OrderbookMarket *m, void *userdata, Error *reterr) {
        ZeroLevels *z = userdata;
        int r;

        r = delete_all(z, reterr); /* of the books before */
        if (r >= 0)
                r = orderbook_scan(z->ctx, m, ORDERBOOK_KEEP_ZEROS, true, check_levels, NULL, reterr);
        if (r >= 0)
                r = orderbook_scan(z->ctx, m, ORDERBOOK_KEEP_ZEROS, false, delete_levels, z, reterr);
        if (r < 0)
                z->n = 0;
        return r;
}

static int clean(TaskContext *ctx, const OrderbookMarkets *l, size_t *ret_deleted, Error *reterr) {
        _cleanup_(orderbook_reader_freep) OrderbookReader *reader = NULL;
        _cleanup_(zero_levels_done) ZeroLevels z = { .ctx = ctx };
        int r;

        r = redis_pipeline_new(&z.pipeline);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for a pipeline");
        r = orderbook_reader_new(ctx, ORDERBOOK_KEEP_ZEROS, on_book, &z, &reader, reterr);
        if (r >= 0)
                orderbook_reader_set_large(reader, on_large);
        for (size_t i = 0; i < l->n && r >= 0;) {
                const OrderbookMarket *page[ORDERBOOK_PAGE];
                size_t n = 0;

                while (n < ORDERBOOK_PAGE && i < l->n)
                        page[n++] = l->markets + i++;
                r = orderbook_reader_page(reader, page, n, reterr);
                if (r >= 0)
                        r = delete_all(&z, reterr);
        }
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
