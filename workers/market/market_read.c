/* Inputs of market_updater (market specification, section 9.1). Round trips: one for the listing, one for all that the
 * replica knows, one per page of funding samples. A value that cannot be used spoils its own column alone. */

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/market/market_read.h"

/* Markets per pipeline: bounds the memory that replies take. */
#define FUNDING_PAGE 64

/* Columns of read_markets.sql. */
enum {
        ROW_ID,
        ROW_CLOB_PAIR,
        ROW_TICKER,
        ROW_MARKET,
        ROW_FIRST_STATISTIC,
        ROW_DEFAULT_RATE = ROW_FIRST_STATISTIC + MARKET_COLUMNS
};
/* Columns of read_statistics.sql. */
enum { INPUT_LATEST, INPUT_DAY_AGO, INPUT_TRADES, INPUT_VOLUME, INPUT_OPEN_INTEREST };

void market_list_done(MarketList *l) {
        for (size_t i = 0; i < l->n; i++)
                for (unsigned c = 0; c < MARKET_COLUMNS; c++)
                        free(l->markets[i].computed[c]);
        free(l->markets);
        PQclear(l->listing);
        *l = (MarketList){ 0 };
}

static const char *value_or_null(const PGresult *result, int row, int column) {
        return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

int market_list_read(TaskContext *ctx, MarketList *ret, Error *reterr) {
        PgServer server =
                settings_bool(task_settings(ctx), "database.read_default_from_replica") ? PG_REPLICA : PG_PRIMARY;
        _cleanup_market_list_ MarketList l = { 0 };
        size_t n;
        int r;

        r = task_query(ctx, server, &sql_market_read_markets, 0, NULL, &l.listing, reterr);
        if (r < 0)
                return r;
        n = (size_t) PQntuples(l.listing);
        l.markets = calloc(n > 0 ? n : 1, sizeof(*l.markets));
        if (!l.markets)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu markets", n);
        l.n = n;
        for (size_t i = 0; i < n; i++) {
                Market *m = l.markets + i;

                m->id = PQgetvalue(l.listing, (int) i, ROW_ID);
                m->clob_pair_id = PQgetvalue(l.listing, (int) i, ROW_CLOB_PAIR);
                m->ticker = PQgetvalue(l.listing, (int) i, ROW_TICKER);
                m->market_id = PQgetvalue(l.listing, (int) i, ROW_MARKET);
                for (int c = 0; c < MARKET_COLUMNS; c++)
                        m->stored[c] = PQgetvalue(l.listing, (int) i, ROW_FIRST_STATISTIC + c);
                m->default_funding_rate = value_or_null(l.listing, (int) i, ROW_DEFAULT_RATE);
        }
        *ret = l;
        l = (MarketList){ 0 };
        return 0;
}

/* Takes over the outcome of one computation: only lack of memory ends the run, bad data is reported. */
static int settle(TaskContext *ctx, const Market *m, MarketColumn column, int r, const Error *e, Error *reterr) {
        _cleanup_free_ char *item = NULL;

        if (r >= 0)
                return 0;
        item = str_printf("market %s", m->ticker);
        if (r == -ENOMEM || !item)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for market %s", m->ticker);
        task_item_failed(ctx, item, "%s is left at %s: %s", market_column_name(column), m->stored[column],
                         error_text(e));
        return 0;
}

static int compute_market(TaskContext *ctx, Market *m, const PGresult *inputs, int row, Error *reterr) {
        const char *latest = value_or_null(inputs, row, INPUT_LATEST),
                   *day_ago = value_or_null(inputs, row, INPUT_DAY_AGO);
        static const struct {
                MarketColumn column;
                int input;
                int (*compute)(const char *text, char **ret, Error *reterr);
        } sums[] = {
                { MARKET_VOLUME, INPUT_VOLUME, market_compute_sum },
                { MARKET_TRADES, INPUT_TRADES, market_compute_trades },
                { MARKET_OPEN_INTEREST, INPUT_OPEN_INTEREST, market_compute_sum },
        };
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        if (!latest || !day_ago)
                task_log(ctx, LOG_LEVEL_DEBUG, "market-updater#getPriceChange",
                         (const LogField[]){ LOG_STRING("MARKET_ID", "marketId", m->market_id) }, 1,
                         "No 24-hour old oracle price found for market");
        r = market_compute_price_change(latest, day_ago, &m->computed[MARKET_PRICE_CHANGE], &e);
        r = settle(ctx, m, MARKET_PRICE_CHANGE, r, &e, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(sums); i++) {
                r = sums[i].compute(value_or_null(inputs, row, sums[i].input), &m->computed[sums[i].column], &e);
                r = settle(ctx, m, sums[i].column, r, &e, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int market_list_compute_statistics(TaskContext *ctx, MarketList *l, Error *reterr) {
        _cleanup_pg_array_ PgArray ids = { 0 }, clob_pairs = { 0 }, market_ids = { 0 };
        _cleanup_pg_result_ PGresult *inputs = NULL;
        char now[ISO_TIME_SIZE];
        const char *params[4];
        int r;

        for (size_t i = 0; i < l->n; i++) {
                pg_array_append(&ids, l->markets[i].id);
                pg_array_append(&clob_pairs, l->markets[i].clob_pair_id);
                pg_array_append(&market_ids, l->markets[i].market_id);
        }
        params[0] = pg_array_text(&ids);
        params[1] = pg_array_text(&clob_pairs);
        params[2] = pg_array_text(&market_ids);
        params[3] = format_iso_msec(task_now_usec(ctx), now);
        if (!params[0] || !params[1] || !params[2])
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu markets", l->n);
        r = task_query(ctx, PG_REPLICA, &sql_market_read_statistics, ELEMENTSOF(params), params, &inputs, reterr);
        if (r < 0)
                return r;
        if ((size_t) PQntuples(inputs) != l->n)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "%s: %d rows for %zu markets",
                                 sql_market_read_statistics.name, PQntuples(inputs), l->n);
        for (size_t i = 0; i < l->n; i++) {
                r = compute_market(ctx, l->markets + i, inputs, (int) i, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compute_funding(TaskContext *ctx, Market *m, const redisReply *list, Error *reterr) {
        _cleanup_free_ const char **samples = NULL;
        _cleanup_free_ size_t *lengths = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = redis_reply_check(list, REDIS_REPLY_ARRAY, "LRANGE", &e);
        if (r < 0)
                return settle(ctx, m, MARKET_FUNDING_RATE, r, &e, reterr);
        samples = calloc(list->elements + 1, sizeof(*samples));
        lengths = calloc(list->elements + 1, sizeof(*lengths));
        if (!samples || !lengths)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu funding samples", list->elements);
        for (size_t i = 0; i < list->elements; i++) {
                samples[i] = list->element[i]->str;
                lengths[i] = (size_t) list->element[i]->len;
        }
        r = market_compute_funding_rate(list->elements, samples, lengths, m->default_funding_rate,
                                        &m->computed[MARKET_FUNDING_RATE], &e);
        return settle(ctx, m, MARKET_FUNDING_RATE, r, &e, reterr);
}

static int compute_funding_page(TaskContext *ctx, Market *markets, size_t n, RedisPipeline *pipeline, Error *reterr) {
        int r;

        redis_pipeline_clear(pipeline);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *key = str_printf("v4/nextFunding/%s", markets[i].ticker);

                if (!key || redis_pipeline_addv(pipeline, "LRANGE", key, "0", "-1", NULL) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a pipeline of %zu commands",
                                         n);
        }
        r = task_redis_read(ctx, "funding_samples", pipeline, reterr);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = compute_funding(ctx, markets + i, redis_pipeline_reply(pipeline, i), reterr);
        return r;
}

int market_list_compute_funding(TaskContext *ctx, MarketList *l, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        int r;

        r = redis_pipeline_new(&pipeline);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for a pipeline");
        for (size_t i = 0; i < l->n; i += FUNDING_PAGE) {
                size_t n = l->n - i < FUNDING_PAGE ? l->n - i : FUNDING_PAGE;

                r = compute_funding_page(ctx, l->markets + i, n, pipeline, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}
