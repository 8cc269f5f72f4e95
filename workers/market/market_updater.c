/* market_updater: five statistics of every perpetual market, and a message about what changed (market specification,
 * section 9). The database is changed in one transaction, and whatever it commits has been named as unpublished before.
 */

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/market/market.h"
#include "workers/market/market_publish.h"
#include "workers/market/market_read.h"

static void elapsed(TaskContext *ctx, const char *metric, uint64_t start) {
        task_timing(ctx, metric, (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
}

/* Order of the parameters of update_markets.sql behind the ids; it is that of MarketColumn. */
static int update_changed(TaskContext *ctx, const MarketList *l, Error *reterr) {
        PgArray arrays[1 + MARKET_COLUMNS] = { 0 };
        const char *params[ELEMENTSOF(arrays)];
        bool complete = true;
        int r;

        for (size_t i = 0; i < l->n; i++) {
                if (!l->markets[i].changed)
                        continue;
                pg_array_append(&arrays[0], l->markets[i].id);
                for (unsigned c = 0; c < MARKET_COLUMNS; c++)
                        pg_array_append(&arrays[1 + c], market_value(l->markets + i, c));
        }
        for (size_t i = 0; i < ELEMENTSOF(arrays); i++) {
                params[i] = pg_array_text(&arrays[i]);
                complete = complete && params[i];
        }
        r = complete ? task_query(ctx, PG_PRIMARY, &sql_market_update_markets, ELEMENTSOF(params), params, NULL, reterr)
                     : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the update");
        for (size_t i = 0; i < ELEMENTSOF(arrays); i++)
                pg_array_done(&arrays[i]);
        return r;
}

/* Commits what changed, its names being pending before. */
static int store(TaskContext *ctx, const MarketList *l, TaskPending *pending, size_t *ret_changed, Error *reterr) {
        _cleanup_market_names_ MarketNames names = { 0 };
        size_t n_changed = 0;
        int r;

        for (size_t i = 0; i < l->n; i++) {
                n_changed += l->markets[i].changed != 0;
                if (market_names_add(&names, l->markets + i, l->markets[i].changed) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for names to publish");
        }
        *ret_changed = n_changed;
        if (n_changed == 0)
                return 0;
        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = update_changed(ctx, l, reterr);
        if (r >= 0)
                r = task_pending_add(ctx, pending, (const char *const *) names.names, names.n, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r < 0)
                task_rollback(ctx);
        return r;
}

/* Everything behind the first queries; an error here leaves either nothing or a committed, pending change behind. */
static int update(TaskContext *ctx, MarketList *l, uint64_t start, Error *reterr) {
        _cleanup_(task_pending_freep) TaskPending *pending = NULL;
        _cleanup_market_names_ MarketNames gone = { 0 };
        size_t n_changed = 0;
        int r;

        r = market_list_compute_funding(ctx, l, reterr);
        if (r < 0)
                return r;
        r = task_pending_load(ctx, &pending, reterr);
        if (r < 0)
                return r;
        elapsed(ctx, "markets_updater_get_fills_positions_and_markets_timing", start);
        for (size_t i = 0; i < l->n; i++)
                market_diff(l->markets + i);
        r = market_publish_select(l->markets, l->n, pending, &gone);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for names to publish");
        r = store(ctx, l, pending, &n_changed, reterr);
        if (r < 0)
                return r;
        task_field_int(ctx, "changed_markets", (int64_t) n_changed);
        return market_publish(ctx, l->markets, l->n, pending, &gone, reterr);
}

int market_updater_run(TaskContext *ctx) {
        _cleanup_market_list_ MarketList l = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t start = clock_monotonic_usec();
        int r;

        r = market_list_read(ctx, &l, &e);
        if (r >= 0)
                r = market_list_compute_statistics(ctx, &l, &e);
        if (r < 0)
                return task_fail(ctx, &e);
        task_field_int(ctx, "markets", (int64_t) l.n);
        elapsed(ctx, "market_updater_initial_queries", start);
        r = update(ctx, &l, start, &e);
        elapsed(ctx, "market_updater_update_timing", start);
        if (r >= 0)
                return 0;
        /* the original swallowed these and called the run a success */
        task_log(ctx, LOG_LEVEL_ERROR, "market-checker#runTask",
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                 "Error occurred in task to update markets");
        return task_fail(ctx, &e);
}
