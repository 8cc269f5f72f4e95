#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/market/orderbook.h"
#include "workers/sample/watch.h"

/* Enough to see something; reading thousands of books each second would be a load of its own. */
#define WATCHED 100

typedef struct Watched {
        char *ticker;
        uint64_t since_usec; /* 0: not crossed */
} Watched;

struct WatchBooks {
        RedisPipeline *pipeline;
        Orderbook book;
        Watched markets[WATCHED];
};

int watch_books_new(WatchBooks **ret) {
        WatchBooks *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        r = redis_pipeline_new(&w->pipeline);
        if (r < 0) {
                free(w);
                return r;
        }
        *ret = w;
        return 0;
}

WatchBooks *watch_books_free(WatchBooks *w) {
        if (!w)
                return NULL;
        for (size_t i = 0; i < WATCHED; i++)
                free(w->markets[i].ticker);
        orderbook_done(&w->book);
        redis_pipeline_free(w->pipeline);
        free(w);
        return NULL;
}

static int add_commands(RedisPipeline *p, const char *ticker) {
        int r = 0;

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES && r >= 0; side++)
                for (int times = 0; times < 2 && r >= 0; times++) {
                        _cleanup_free_ char *key =
                                str_printf("v4/orderbookLevels/%s/%s%s", ticker, orderbook_side_to_string(side),
                                           times ? "/lastUpdated" : "");

                        r = key ? redis_pipeline_addv(p, "HGETALL", key, NULL) : -ENOMEM;
                }
        return r;
}

/* The slot of the i-th market, begun anew when another one has taken its place. */
static Watched *slot(WatchBooks *w, size_t i, const char *ticker) {
        Watched *m = w->markets + i;

        if (!str_eq(m->ticker, ticker)) {
                free(m->ticker);
                *m = (Watched){ .ticker = strdup(ticker) };
        }
        return m;
}

static void look_at(WatchBooks *w, Watched *m, const redisReply *const *hashes, uint64_t now_usec) {
        const OrderbookLevel *bid, *ask;
        char took[64];

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++)
                if (orderbook_side_parse(&w->book.sides[side], hashes[2 * side], hashes[2 * side + 1],
                                         ORDERBOOK_NUMBERS, NULL) < 0)
                        return;
        bid = orderbook_side_best(&w->book.sides[ORDERBOOK_BUY], ORDERBOOK_BUY);
        ask = orderbook_side_best(&w->book.sides[ORDERBOOK_SELL], ORDERBOOK_SELL);
        if (bid && ask && bid->price_number >= ask->price_number) {
                if (m->since_usec == 0)
                        printf("book of %.40s is crossed: best bid %.20s, best ask %.20s\n", m->ticker, bid->price.s,
                               ask->price.s);
                m->since_usec = m->since_usec ? m->since_usec : now_usec;
        } else if (m->since_usec != 0) {
                printf("book of %.40s is whole again after %s\n", m->ticker,
                       format_duration(now_usec - m->since_usec, took, sizeof(took)));
                m->since_usec = 0;
        }
}

int watch_books_look(WatchBooks *w, PgConn *postgres, RedisConn *redis, uint64_t now_usec, Error *reterr) {
        _cleanup_pg_result_ PGresult *markets = NULL;
        size_t n;
        int r;

        r = pg_query(postgres, &sql_sample_read_feed_markets, 0, NULL, NULL, &markets, reterr);
        if (r < 0)
                return r;
        n = (size_t) PQntuples(markets) < WATCHED ? (size_t) PQntuples(markets) : WATCHED;
        redis_pipeline_clear(w->pipeline);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = add_commands(w->pipeline, PQgetvalue(markets, (int) i, 0));
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for %zu books", n);
        r = redis_execute(redis, "watch_books", w->pipeline, NULL, reterr);
        for (size_t i = 0; i < n && r >= 0; i++) {
                const redisReply *hashes[2 * ORDERBOOK_SIDES];
                Watched *m = slot(w, i, PQgetvalue(markets, (int) i, 0));

                for (size_t k = 0; k < ELEMENTSOF(hashes); k++)
                        hashes[k] = redis_pipeline_reply(w->pipeline, i * ELEMENTSOF(hashes) + k);
                if (m->ticker)
                        look_at(w, m, hashes, now_usec);
        }
        redis_pipeline_clear(w->pipeline);
        return r;
}
