/* create_pnl_ticks: once an hour of block time a tick of every subaccount that ever had a transfer (PnL specification,
 * section 1). Here is decided which hours are due: that of the latest block, and those that went by without ticks. */

#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/pnl/pnl.h"
#include "workers/pnl/tick_cache.h"
#include "workers/pnl/tick_page.h"
#include "workers/pnl/tick_rest.h"

/* A run that fills many hours lets others have their turn. */
#define SLICE_USEC (60 * USEC_PER_SEC)

/* Columns of read_tick_gate.sql. */
enum { GATE_HEIGHT, GATE_MSEC, GATE_TIME, GATE_TICKS_MSEC, GATE_TICKS_HEIGHT, GATE_TICKS };
/* Columns of find_missing_hours.sql. */
enum { HOUR_BEGINS, HOUR_HEIGHT };

typedef struct Gate {
        int64_t interval_msec, limit;
        int64_t block_msec;
        int64_t ticks_msec; /* of the latest ticks, 0 without any */
        int64_t ticks;      /* how many these are, counted up to the limit */
        char ticks_height[24];
        char block_height[24], block_time[ISO_TIME_SIZE];
        TickRest rest; /* hour of which an earlier run left accounts */
} Gate;

static int64_t hour_of(const Gate *g, int64_t msec) {
        return g->interval_msec > 0 ? msec - msec % g->interval_msec : msec;
}

static int read_gate(TaskContext *ctx, Gate *ret, Error *reterr) {
        const Settings *s = task_settings(ctx);
        Gate g = { .interval_msec = (int64_t) (settings_duration_usec(s, "pnl.tick_interval") / USEC_PER_MSEC),
                   .limit = settings_int(s, "pnl.tick_accounts_per_run") };
        _cleanup_pg_result_ PGresult *row = NULL;
        char limit[24];
        const char *params[] = { limit };
        int r;

        (void) snprintf(limit, sizeof(limit), "%lld", (long long) g.limit);
        r = task_query(ctx, PG_REPLICA, &sql_pnl_read_tick_gate, ELEMENTSOF(params), params, &row, reterr);
        if (r < 0)
                return r;
        if (PQntuples(row) == 0) {
                r = error_set(reterr, ERROR_RETRY, -ENODATA, "Unable to find latest block");
                error_set_hint(reterr, "the table blocks is empty: the indexer has not stored any block yet");
                return r;
        }
        g.block_msec = strtoll(PQgetvalue(row, 0, GATE_MSEC), NULL, 10);
        g.ticks_msec = strtoll(PQgetvalue(row, 0, GATE_TICKS_MSEC), NULL, 10); /* NULL is an empty text */
        g.ticks = strtoll(PQgetvalue(row, 0, GATE_TICKS), NULL, 10);
        (void) snprintf(g.ticks_height, sizeof(g.ticks_height), "%s", PQgetvalue(row, 0, GATE_TICKS_HEIGHT));
        (void) snprintf(g.block_height, sizeof(g.block_height), "%s", PQgetvalue(row, 0, GATE_HEIGHT));
        (void) snprintf(g.block_time, sizeof(g.block_time), "%s", PQgetvalue(row, 0, GATE_TIME));
        r = tick_rest_read(ctx, &g.rest, reterr);
        if (r < 0)
                return r;
        if (g.rest.begins_msec > g.block_msec)
                g.rest.cursor.set = false; /* left over from another chain, or the replica is behind */
        *ret = g;
        return 0;
}

static bool gate_is_open(const Gate *g) {
        return g->block_msec - hour_of(g, g->ticks_msec) >= g->interval_msec || g->ticks >= g->limit ||
               g->rest.cursor.set;
}

/* Hours between that of the latest ticks, or the one that was left unfinished, and that of the latest block. */
static int find_missing_hours(TaskContext *ctx, const Gate *g, PGresult **ret, Error *reterr) {
        int64_t after = hour_of(g, g->ticks_msec),
                fill = (int64_t) (settings_duration_usec(task_settings(ctx), "pnl.tick_fill") / USEC_PER_MSEC);
        char interval[24], after_text[24], fill_text[24];
        const char *params[] = { interval, after_text, g->ticks_height, fill_text };

        /* without ticks every account of the hour that was left unfinished has failed */
        if (g->rest.cursor.set && (g->ticks_msec == 0 || g->rest.begins_msec - g->interval_msec < after)) {
                after = g->rest.begins_msec - g->interval_msec;
                params[2] = "0";
        }
        (void) snprintf(interval, sizeof(interval), "%lld", (long long) g->interval_msec);
        (void) snprintf(after_text, sizeof(after_text), "%lld", (long long) after);
        (void) snprintf(fill_text, sizeof(fill_text), "%lld", (long long) fill);
        return task_query(ctx, PG_PRIMARY, &sql_pnl_find_missing_hours, ELEMENTSOF(params), params, ret, reterr);
}

typedef struct Totals {
        int64_t accounts, ticks, changed, hours;
} Totals;

static int page(TaskContext *ctx, const TickRequest *request, TaskPending *pending, Totals *totals, TickPage *ret,
                Error *reterr) {
        int r;

        r = tick_page(ctx, request, pending, ret, reterr);
        if (r < 0)
                return r;
        totals->accounts += ret->accounts;
        totals->ticks += ret->ticks;
        totals->changed += ret->changed;
        return 0;
}

/* Behind the last page of an hour: Redis is written by the block's time, which all of its pages share. */
static int publish(TaskContext *ctx, TaskPending *pending, int64_t ticks, uint64_t read_usec, Error *reterr) {
        int r;

        r = tick_cache_write(ctx, pending, reterr);
        task_gauge(ctx, "_pnl_tick_create_count", (double) ticks, NULL, 0);
        task_timing(ctx, "_generate_ticks_timing", (int64_t) ((clock_monotonic_usec() - read_usec) / USEC_PER_MSEC),
                    NULL, 0);
        return r;
}

/* One hour that is over: all of its accounts, page after page. */
static int fill_hour(TaskContext *ctx, TickRequest request, TaskPending *pending, Totals *totals, Error *reterr) {
        Totals before = *totals;
        TickPage p;
        int r;

        do {
                r = page(ctx, &request, pending, totals, &p, reterr);
                if (r < 0)
                        return r;
                request.after = p.last;
        } while (p.full && !task_is_dry_run(ctx));
        r = publish(ctx, pending, totals->ticks - before.ticks, p.read_usec, reterr);
        if (r < 0)
                return r;
        totals->hours++;
        task_log(ctx, LOG_LEVEL_INFO, "create-pnl-ticks#fill",
                 (const LogField[]){ LOG_STRING("BLOCK_HEIGHT", "blockHeight", request.height),
                                     LOG_INT("TICKS", "ticks", totals->ticks - before.ticks),
                                     LOG_INT("CHANGED", "changed", totals->changed - before.changed) },
                 3, "An hour without ticks was filled; what changed since is not known any more");
        return 0;
}

/* 0, or TASK_MORE when the latest hour is still to be done. */
static int fill_hours(TaskContext *ctx, const Gate *g, uint64_t start, TaskPending *pending, Totals *totals,
                      Error *reterr) {
        _cleanup_pg_result_ PGresult *hours = NULL;
        int r;

        if (g->ticks_msec == 0 && !g->rest.cursor.set)
                return 0; /* the first ticks of all: history is not made up */
        r = find_missing_hours(ctx, g, &hours, reterr);
        for (int i = 0; r >= 0 && i < PQntuples(hours); i++) {
                TickRequest request = { .height = PQgetvalue(hours, i, HOUR_HEIGHT),
                                        .begins_msec = strtoll(PQgetvalue(hours, i, HOUR_BEGINS), NULL, 10),
                                        .start_usec = start };

                if (g->rest.cursor.set && g->rest.begins_msec == request.begins_msec)
                        request.after = g->rest.cursor;
                r = fill_hour(ctx, request, pending, totals, reterr);
                if (r < 0)
                        return r;
                task_progress(ctx, (uint64_t) i + 1, (uint64_t) PQntuples(hours) + 1, "hours");
                /* each hour with ticks is behind the next run; a dry run has made its tables only once */
                if (task_is_dry_run(ctx) || (totals->ticks > 0 && clock_monotonic_usec() - start > SLICE_USEC))
                        return TASK_MORE;
        }
        return r;
}

static int create(TaskContext *ctx, const Gate *g, uint64_t start, TaskPending *pending, Totals *totals,
                  Error *reterr) {
        TickRequest latest = { .begins_msec = hour_of(g, g->block_msec), .start_usec = start };
        TickPage p;
        int r;

        r = fill_hours(ctx, g, start, pending, totals, reterr);
        if (r > 0 && task_is_dry_run(ctx)) {
                task_log(ctx, LOG_LEVEL_INFO, "create-pnl-ticks#runTask", NULL, 0,
                         "The preview stops behind the first hour that is filled");
                return 0;
        }
        if (r != 0)
                return r;
        if (g->rest.cursor.set && g->rest.begins_msec == latest.begins_msec)
                latest.after = g->rest.cursor;
        r = page(ctx, &latest, pending, totals, &p, reterr);
        return r < 0 ? r : publish(ctx, pending, p.ticks, p.read_usec, reterr);
}

static int run(TaskContext *ctx, Gate *g, Totals *totals, Error *reterr) {
        _cleanup_(task_pending_freep) TaskPending *pending = NULL;
        uint64_t start = clock_monotonic_usec();
        int r;

        r = task_pending_load(ctx, &pending, reterr);
        if (r >= 0)
                r = tick_cache_write(ctx, pending, reterr);
        if (r >= 0)
                r = read_gate(ctx, g, reterr);
        if (r < 0)
                return r;
        if (gate_is_open(g))
                return create(ctx, g, start, pending, totals, reterr);
        task_log(ctx, LOG_LEVEL_DEBUG, "create-pnl-ticks#runTask", NULL, 0, "The hour of block %s has its ticks",
                 g->block_height);
        return 0;
}

int create_pnl_ticks_run(TaskContext *ctx) {
        _cleanup_error_ Error e = ERROR_INIT;
        Totals totals = { 0 };
        Gate g = { 0 };
        int r;

        r = run(ctx, &g, &totals, &e);
        task_field_int(ctx, "accounts", totals.accounts);
        task_field_int(ctx, "ticks", totals.ticks);
        task_field_int(ctx, "filled_hours", totals.hours);
        if (r >= 0)
                return r;
        /* the original swallowed these and called the run a success */
        task_log(ctx, LOG_LEVEL_ERROR, "create-pnl-ticks#runTask",
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)),
                                     LOG_STRING("LATEST_BLOCK_HEIGHT", "latestBlockHeight", g.block_height),
                                     LOG_STRING("LATEST_BLOCK_TIME", "latestBlockTime", g.block_time) },
                 3, "Error when getting pnl ticks");
        return task_fail(ctx, &e);
}
