/* cache-orderbook-mid-prices: keeps about a minute of mid prices of each market, from which the indexer takes the
 * median for its candles (market specification, section 13). */

#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "workers/market/market.h"
#include "workers/market/orderbook_read.h"
#include "workers/market/orderbook_scripts.h"

/* Keys of one script. */
#define KEYS_PAGE 1000
#define MEMBER_SIZE 32

typedef struct MidPrice {
        const OrderbookMarket *market;
        char *price;              /* fixed decimal */
        char member[MEMBER_SIZE]; /* as it is stored */
} MidPrice;

typedef struct MidPrices {
        TaskContext *ctx;
        MidPrice *prices; /* room for one of each market */
        size_t n;
} MidPrices;

static void mid_prices_done(MidPrices *p) {
        for (size_t i = 0; i < p->n; i++)
                free(p->prices[i].price);
        free(p->prices);
}

/* What the original stores: the text that its script makes of a Lua number. While originals write the same keys,
 * another text would make two members of one price (section 4.4). -ERANGE: no double is near it, and readers could not
 * parse what would be stored. */
static int format_member(const char *price, char member[static MEMBER_SIZE]) {
        double number;
        int r = orderbook_number((OrderbookText){ price, strlen(price) }, &number);

        if (r >= 0 && !isfinite(number))
                r = -ERANGE;
        if (r >= 0)
                (void) snprintf(member, MEMBER_SIZE, "%.17g", number);
        return r;
}

static int on_book(const OrderbookMarket *m, Orderbook *b, void *userdata, Error *reterr) {
        _cleanup_free_ char *price = NULL;
        MidPrices *p = userdata;
        MidPrice *mid = p->prices + p->n;
        int r;

        r = orderbook_mid_price(b, &price, reterr);
        if (r != 0 || !price)
                return r;
        if (format_member(price, mid->member) < 0)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "its mid price %.60s%s is too large", price,
                                 strlen(price) > 60 ? "…" : "");
        mid->market = m;
        mid->price = price;
        price = NULL;
        p->n++;
        return 0;
}

static int add_page(MidPrices *p, RedisPipeline *pipeline, size_t from, size_t n, const char *seconds) {
        _cleanup_free_ char **keys = calloc(n, sizeof(*keys));
        _cleanup_free_ const char **args = calloc(n + 1, sizeof(*args));
        int r = keys && args ? 0 : -ENOMEM;

        for (size_t i = 0; i < n && r >= 0; i++) {
                const MidPrice *m = p->prices + from + i;

                keys[i] = str_printf("v4/orderbook_mid_prices/%s", m->market->ticker);
                r = keys[i] ? 0 : -ENOMEM;
                args[i] = m->member;
                if (r >= 0)
                        task_log(p->ctx, LOG_LEVEL_DEBUG, "orderbook-mid-prices-cache#fetchAndCacheOrderbookMidPrices",
                                 (const LogField[]){ LOG_STRING("CACHE_KEY", "cacheKey", keys[i]),
                                                     LOG_STRING("MID_PRICE", "midPrice", m->price) },
                                 2, "Caching orderbook mid price");
        }
        if (r >= 0) {
                args[n] = seconds;
                r = redis_pipeline_add_script(pipeline, &orderbook_script_add_mid_prices, n, (const char *const *) keys,
                                              n + 1, args);
        }
        for (size_t i = 0; i < n && keys; i++)
                free(keys[i]);
        return r;
}

/* A key that cannot be written is its market's failure; whatever else goes wrong is the run's. */
static int check_page(MidPrices *p, size_t from, size_t n, const redisReply *reply, Error *reterr) {
        int r;

        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "add_mid_prices", reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n && i < reply->elements; i++) {
                _cleanup_free_ char *item = NULL;

                if (reply->element[i]->type == REDIS_REPLY_INTEGER)
                        continue;
                item = orderbook_item(p->prices[from + i].market);
                task_item_failed(p->ctx, item ? item : p->prices[from + i].market->ticker, "its mid price %s: %s",
                                 p->prices[from + i].price, reply->element[i]->str ? reply->element[i]->str : "?");
        }
        return 0;
}

static int store(MidPrices *p, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        char seconds[24];
        bool done = false;
        int r;

        if (p->n == 0)
                return 0;
        /* after all books have been read */
        (void) snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long) (clock_realtime_usec() / USEC_PER_SEC));
        r = redis_pipeline_new(&pipeline);
        for (size_t i = 0; i < p->n && r >= 0; i += KEYS_PAGE)
                r = add_page(p, pipeline, i, p->n - i < KEYS_PAGE ? p->n - i : KEYS_PAGE, seconds);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for %zu mid prices", p->n);
        r = task_redis_write(p->ctx, "add_mid_prices", pipeline, &done, reterr);
        for (size_t i = 0; i * KEYS_PAGE < p->n && r >= 0 && done; i++)
                r = check_page(p, i * KEYS_PAGE, p->n - i * KEYS_PAGE < KEYS_PAGE ? p->n - i * KEYS_PAGE : KEYS_PAGE,
                               redis_pipeline_reply(pipeline, i), reterr);
        return r;
}

static void log_markets(TaskContext *ctx, const OrderbookMarkets *l) {
        _cleanup_buffer_ Buffer names = { 0 };

        if (log_max_level() < LOG_LEVEL_DEBUG)
                return;
        for (size_t i = 0; i < l->n; i++)
                (void) buffer_printf(&names, "%s%s", i > 0 ? ", " : "", l->markets[i].ticker);
        if (!buffer_failed(&names))
                task_log(ctx, LOG_LEVEL_DEBUG, "cache-orderbook-mid-prices#runTask",
                         (const LogField[]){ LOG_STRING("MARKETS", "markets", names.data) }, 1,
                         "Caching orderbook mid prices for markets");
}

static int cache(TaskContext *ctx, Error *reterr) {
        _cleanup_orderbook_markets_ OrderbookMarkets l = { 0 };
        _cleanup_(mid_prices_done) MidPrices p = { .ctx = ctx };
        uint64_t start = clock_monotonic_usec();
        int r;

        /* The original keeps the listing in memory and hardly ever renews it. */
        r = orderbook_markets_read(ctx, PG_REPLICA, &l, reterr);
        if (r < 0)
                return r;
        task_timing(ctx, "loops.update_perpetual_markets", (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC),
                    NULL, 0);
        if (l.n == 0) {
                task_log(ctx, LOG_LEVEL_ERROR, "cache-orderbook-mid-prices#runTask", NULL, 0,
                         "perpetualMarketRefresher is empty");
                return 0;
        }
        log_markets(ctx, &l);
        p.prices = calloc(l.n, sizeof(*p.prices));
        if (!p.prices)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu mid prices", l.n);
        r = orderbook_read_all(ctx, &l, ORDERBOOK_NUMBERS, on_book, &p, reterr);
        if (r >= 0)
                r = store(&p, reterr);
        task_field_int(ctx, "markets", (int64_t) l.n);
        task_field_int(ctx, "mid_prices", (int64_t) p.n);
        return r;
}

int cache_orderbook_mid_prices_run(TaskContext *ctx) {
        _cleanup_error_ Error e = ERROR_INIT;

        if (cache(ctx, &e) >= 0)
                return 0;
        /* the original said this and called the run a success */
        task_log(ctx, LOG_LEVEL_ERROR, "cache-orderbook-mid-prices#runTask", NULL, 0, "%s", error_text(&e));
        return task_fail(ctx, &e);
}
