#include "common/json.h"
#include "sql/statements.h"
#include "workers/market/orderbook_scan.h"

/* Columns of read_orderbook_markets.sql. */
enum { ROW_CLOB_PAIR, ROW_TICKER, ROW_CONVERSION_EXPONENT, ROW_RESOLUTION };

/* Commands of one book: a transaction, so that the four hashes are of one instant. */
static const char *const multi[] = { "MULTI" }, *const execute[] = { "EXEC" };
enum {
        HASHES_OF_BOOK = 2 * ORDERBOOK_SIDES,
        COMMANDS_OF_BOOK = HASHES_OF_BOOK + 2,
        EXEC_OF_BOOK = COMMANDS_OF_BOOK - 1
};

struct OrderbookReader {
        TaskContext *ctx;
        unsigned flags;
        OrderbookCallback callback;
        OrderbookLargeCallback on_large;
        void *userdata;
        RedisPipeline *pipeline;
        const OrderbookMarket *markets[ORDERBOOK_PAGE]; /* of the pipeline under way */
        Orderbook book;
};

void orderbook_markets_done(OrderbookMarkets *l) {
        free(l->markets);
        PQclear(l->listing);
        *l = (OrderbookMarkets){ 0 };
}

PgServer orderbook_default_server(TaskContext *ctx) {
        return settings_bool(task_settings(ctx), "database.read_default_from_replica") ? PG_REPLICA : PG_PRIMARY;
}

int orderbook_markets_read(TaskContext *ctx, PgServer server, OrderbookMarkets *ret, Error *reterr) {
        _cleanup_orderbook_markets_ OrderbookMarkets l = { 0 };
        int r;

        r = task_query(ctx, server, &sql_market_read_orderbook_markets, 0, NULL, &l.listing, reterr);
        if (r < 0)
                return r;
        l.n = (size_t) PQntuples(l.listing);
        l.markets = calloc(l.n > 0 ? l.n : 1, sizeof(*l.markets));
        if (!l.markets)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu markets", l.n);
        for (size_t i = 0; i < l.n; i++) {
                const char *exponent = PQgetvalue(l.listing, (int) i, ROW_CONVERSION_EXPONENT);
                const char *resolution = PQgetvalue(l.listing, (int) i, ROW_RESOLUTION);
                OrderbookMarket *m = l.markets + i;

                m->clob_pair_id = PQgetvalue(l.listing, (int) i, ROW_CLOB_PAIR);
                m->ticker = PQgetvalue(l.listing, (int) i, ROW_TICKER);
                if (parse_int(exponent, &m->conversion_exponent) < 0 || parse_int(resolution, &m->resolution) < 0)
                        return error_set(reterr, ERROR_NEVER, -EBADMSG,
                                         "perpetual_markets: exponents \"%s\" and \"%s\" of %s are no integers",
                                         exponent, resolution, m->ticker);
        }
        *ret = l;
        l = (OrderbookMarkets){ 0 };
        return 0;
}

char *orderbook_key(const char *ticker, OrderbookSideName side, bool times) {
        return str_printf("v4/orderbookLevels/%s/%s%s", ticker, orderbook_side_to_string(side),
                          times ? "/lastUpdated" : "");
}

char *orderbook_item(const OrderbookMarket *m) {
        return str_printf("market %s", m->ticker);
}

static int append_name(Buffer *b, OrderbookText name) {
        static const char rest[] = "…";
        char cut[ORDERBOOK_NAME_LOGGED + sizeof(rest)];
        size_t n = ORDERBOOK_NAME_LOGGED;

        if (name.n <= n)
                return json_append_string(b, name.s, name.n);
        while (n > 0 && ((unsigned char) name.s[n] & 0xc0) == 0x80) /* in the midst of a character */
                n--;
        (void) memcpy(cut, name.s, n);
        (void) memcpy(cut + n, rest, sizeof(rest) - 1);
        return json_append_string(b, cut, n + sizeof(rest) - 1);
}

static char *texts_to_json(const OrderbookText *texts, size_t n) {
        _cleanup_buffer_ Buffer b = { 0 };

        (void) buffer_append_string(&b, "[");
        for (size_t i = 0; i < n && i < ORDERBOOK_MISMATCHES_LOGGED; i++) {
                if (i > 0)
                        (void) buffer_append_string(&b, ",");
                (void) append_name(&b, texts[i]);
        }
        (void) buffer_append_string(&b, "]");
        return buffer_failed(&b) ? NULL : buffer_take(&b);
}

void orderbook_report_mismatch(TaskContext *ctx, const OrderbookMarket *m, OrderbookSideName side,
                               const OrderbookText *sizes_only, size_t n_sizes_only, const OrderbookText *times_only,
                               size_t n_times_only) {
        _cleanup_free_ char *sizes = NULL, *times = NULL;

        if (n_sizes_only == 0 && n_times_only == 0)
                return;
        sizes = texts_to_json(sizes_only, n_sizes_only);
        times = texts_to_json(times_only, n_times_only);
        task_log(ctx, LOG_LEVEL_ERROR, "orderbook-levels-cache#getOrderbookSideData",
                 (const LogField[]){
                         LOG_JSON("SIZES_ONLY", "quantumsKeysWithoutMatchingData", sizes),
                         LOG_INT("SIZES_ONLY_COUNT", "quantumsKeysWithoutMatchingDataCount", (int64_t) n_sizes_only),
                         LOG_JSON("TIMES_ONLY", "lastUpdatedKeysWithoutMatchingData", times),
                         LOG_INT("TIMES_ONLY_COUNT", "lastUpdatedKeysWithoutMatchingDataCount", (int64_t) n_times_only),
                         LOG_STRING("TICKER", "ticker", m->ticker),
                         LOG_STRING("SIDE", "side", orderbook_side_to_string(side)),
                 },
                 6, "Key mismatch detected amongst orderbook levels caches.");
}

int orderbook_reader_new(TaskContext *ctx, unsigned parse_flags, OrderbookCallback callback, void *userdata,
                         OrderbookReader **ret, Error *reterr) {
        OrderbookReader *r = calloc(1, sizeof(*r));

        if (r)
                *r = (OrderbookReader){ .ctx = ctx, .flags = parse_flags, .callback = callback, .userdata = userdata };
        if (!r || redis_pipeline_new(&r->pipeline) < 0) {
                orderbook_reader_free(r);
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for order books");
        }
        *ret = r;
        return 0;
}

void orderbook_reader_set_large(OrderbookReader *r, OrderbookLargeCallback callback) {
        r->on_large = callback;
}

OrderbookReader *orderbook_reader_free(OrderbookReader *r) {
        if (!r)
                return NULL;
        orderbook_done(&r->book);
        if (r->pipeline)
                redis_pipeline_free(r->pipeline);
        free(r);
        return NULL;
}

static int read_side(OrderbookReader *r, const OrderbookMarket *m, OrderbookSideName side, redisReply *const *hashes,
                     Error *reterr) {
        OrderbookSide *s = &r->book.sides[side];
        int k;

        for (int times = 0; times < 2; times++) {
                k = redis_reply_check(hashes[times], REDIS_REPLY_ARRAY, "HGETALL", reterr);

                if (k >= 0)
                        continue;
                /* a key of another type spoils this book, any other answer all of them */
                if (hashes[times]->type != REDIS_REPLY_ERROR || strncmp(hashes[times]->str, "WRONGTYPE", 9) != 0)
                        return k == -EBADMSG ? -EIO : k;
                (void) error_prefix(reterr, "%s%s", orderbook_side_to_string(side), times ? "/lastUpdated" : "");
                return -EBADMSG;
        }
        k = orderbook_side_parse(s, hashes[0], hashes[1], r->flags, reterr);
        if (k < 0) {
                (void) error_prefix(reterr, "%s", orderbook_side_to_string(side));
                return k;
        }
        orderbook_report_mismatch(r->ctx, m, side, s->sizes_only, s->n_sizes_only, s->times_only, s->n_times_only);
        return 0;
}

static int read_book(OrderbookReader *r, const OrderbookMarket *m, const redisReply *reply, Error *reterr) {
        int k;

        k = redis_reply_check(reply, REDIS_REPLY_ARRAY, "EXEC", reterr);
        if (k < 0)
                return k == -EBADMSG ? -EIO : k;
        if (reply->elements != 2 * ORDERBOOK_SIDES)
                return error_set(reterr, ERROR_NEVER, -EIO, "redis: EXEC: %zu replies", reply->elements);
        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                k = read_side(r, m, side, reply->element + (size_t) 2 * side, reterr);
                if (k < 0)
                        return k;
        }
        return r->callback(m, &r->book, r->userdata, reterr);
}

/* An error about one market is reported, and the others are done. */
static int settle(OrderbookReader *r, const OrderbookMarket *m, int k, Error *e, Error *reterr) {
        _cleanup_free_ char *item = NULL;

        if (k >= 0)
                return 0;
        if (k != -EBADMSG) {
                if (reterr)
                        error_move(reterr, e);
                return k;
        }
        item = orderbook_item(m);
        task_item_failed(r->ctx, item ? item : m->ticker, "%s", error_text(e));
        return 0;
}

static int on_reply(size_t i, const redisReply *reply, void *userdata, Error *reterr) {
        OrderbookReader *r = userdata;
        const OrderbookMarket *m = r->markets[i / COMMANDS_OF_BOOK];
        _cleanup_error_ Error e = ERROR_INIT;

        /* what is not even queued (no memory, no permission) says nothing about the book; EXEC would not say why */
        if (i % COMMANDS_OF_BOOK != EXEC_OF_BOOK)
                return reply->type == REDIS_REPLY_ERROR
                               ? redis_reply_check(reply, REDIS_REPLY_STATUS, "reading a book", reterr)
                               : 0;
        return settle(r, m, read_book(r, m, reply, &e), &e, reterr);
}

/* A command with the key of each of the book's hashes. */
static int add_commands(RedisPipeline *p, const OrderbookMarket *m, const char *command) {
        int r = 0;

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES && r >= 0; side++)
                for (int times = 0; times < 2 && r >= 0; times++) {
                        _cleanup_free_ char *key = orderbook_key(m->ticker, side, times);

                        r = key ? redis_pipeline_addv(p, command, key, NULL) : -ENOMEM;
                }
        return r;
}

static int no_memory(size_t n, Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a pipeline of %zu books", n);
}

/* Sets large[i] for books with a hash that is not to be read at once. */
static int find_large(OrderbookReader *r, const OrderbookMarket *const *markets, size_t n, bool *large, Error *reterr) {
        RedisPipeline *p = r->pipeline;
        int k = 0;

        redis_pipeline_clear(p);
        for (size_t i = 0; i < n && k >= 0; i++)
                k = add_commands(p, markets[i], "HLEN");
        if (k < 0)
                return no_memory(n, reterr);
        k = task_redis_read(r->ctx, "measure_orderbooks", p, reterr);
        for (size_t i = 0; i < n * HASHES_OF_BOOK && k >= 0; i++) {
                const redisReply *reply = redis_pipeline_reply(p, i);

                /* what is no hash is reported where it is read */
                large[i / HASHES_OF_BOOK] |= reply->type == REDIS_REPLY_INTEGER && reply->integer > ORDERBOOK_LARGE;
        }
        return k;
}

static int read_large(OrderbookReader *r, const OrderbookMarket *m, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        int k = r->on_large ? r->on_large(m, r->userdata, &e)
                            : orderbook_scan_windows(r->ctx, m, r->flags, r->callback, r->userdata, &e);

        return settle(r, m, k, &e, reterr);
}

int orderbook_reader_page(OrderbookReader *r, const OrderbookMarket *const *markets, size_t n, Error *reterr) {
        bool large[ORDERBOOK_PAGE] = { false };
        RedisPipeline *p = r->pipeline;
        size_t small = 0;
        int k;

        k = find_large(r, markets, n, large, reterr);
        if (k < 0)
                return k;
        redis_pipeline_clear(p);
        for (size_t i = 0; i < n && k >= 0; i++) {
                if (large[i])
                        continue;
                r->markets[small++] = markets[i];
                k = redis_pipeline_add(p, 1, multi, NULL);
                if (k >= 0)
                        k = add_commands(p, markets[i], "HGETALL");
                if (k >= 0)
                        k = redis_pipeline_add(p, 1, execute, NULL);
        }
        if (k < 0)
                return no_memory(n, reterr);
        k = task_redis_read_each(r->ctx, "read_orderbooks", p, on_reply, r, reterr);
        for (size_t i = 0; i < n && k >= 0; i++)
                if (large[i])
                        k = read_large(r, markets[i], reterr);
        return k;
}

int orderbook_read_all(TaskContext *ctx, const OrderbookMarkets *l, unsigned parse_flags, OrderbookCallback callback,
                       void *userdata, Error *reterr) {
        _cleanup_(orderbook_reader_freep) OrderbookReader *reader = NULL;
        const OrderbookMarket *page[ORDERBOOK_PAGE];
        int r;

        r = orderbook_reader_new(ctx, parse_flags, callback, userdata, &reader, reterr);
        for (size_t i = 0; i < l->n && r >= 0;) {
                size_t n = 0;

                while (n < ORDERBOOK_PAGE && i < l->n)
                        page[n++] = l->markets + i++;
                r = orderbook_reader_page(reader, page, n, reterr);
        }
        return r;
}
