/* The transaction: lock, Redis' latest ticks into a temporary table, everything computed by one statement into another,
 * ids for those that have none yet, and one INSERT. UUIDs of version 5 need SHA-1, which PostgreSQL has only in
 * extensions: ids of accounts that Redis knows come along with the COPY, those of others go through here in pages. So
 * the number of statements does not depend on that of the accounts, nor does memory. */

#include <stdio.h>

#include "common/clock.h"
#include "common/proto/uuid_v5.h"
#include "sql/statements.h"
#include "workers/pnl/latest_ticks.h"
#include "workers/pnl/tick_page.h"

#define NAME_PAGE 5000
#define NAME_PAGE_TEXT "5000"
_Static_assert(NAME_PAGE == 5000, "NAME_PAGE_TEXT must say the same");

/* Columns of count_due_ticks.sql. */
enum {
        COUNT_ACCOUNTS,
        COUNT_TICKS,
        COUNT_FAILED,
        COUNT_CHANGED,
        COUNT_GROWN,
        COUNT_TIME,
        COUNT_LAST_NEW,
        COUNT_LAST_ID
};
/* Columns of name_ticks.sql. */
enum { NAME_N, NAME_SUBACCOUNT, NAME_CREATED };
/* Columns of read_remarkable_ticks.sql. */
enum { ROW_SUBACCOUNT, ROW_FAILURE, ROW_LAST_EQUITY, ROW_EQUITY, ROW_LAST_TOTAL, ROW_TOTAL };

static int no_memory(Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

static void elapsed(TaskContext *ctx, const char *metric, uint64_t start) {
        task_timing(ctx, metric, (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
}

/* Id of the tick that a subaccount gets at `created` (PnL specification, section 0.5). */
static int tick_id(const char *subaccount, const char *created, char ret[static UUID_TEXT_SIZE], Error *reterr) {
        char name[UUID_TEXT_SIZE + ISO_TIME_SIZE];
        int n = snprintf(name, sizeof(name), "%s-%s", subaccount, created);
        int r = uuid_v5(indexer_uuid_namespace, name, (size_t) n, ret);

        return r < 0 ? error_set(reterr, ERROR_NEVER, r, "id of a tick: SHA-1 is refused by libcrypto") : 0;
}

static int copy_cached_tick(TaskContext *ctx, const char *subaccount, const LatestTick *tick, void *userdata,
                            Error *reterr) {
        char time[ISO_TIME_USEC_SIZE], created[ISO_TIME_USEC_SIZE], id[UUID_TEXT_SIZE], line[256];
        const char *now = userdata;
        int n, r;

        r = tick_id(subaccount, now, id, reterr);
        if (r < 0)
                return r;
        n = snprintf(line, sizeof(line), "%s\t%lld\t%s\t%s\t%s\n", subaccount, (long long) tick->height,
                     format_iso_usec((uint64_t) tick->time_usec, time),
                     format_iso_usec((uint64_t) tick->created_usec, created), id);
        return task_copy_put(ctx, line, (size_t) n, reterr);
}

static int copy_cached_ticks(TaskContext *ctx, char *now, Error *reterr) {
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_create_cached_ticks, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = task_copy_begin(ctx, &sql_pnl_copy_cached_ticks, reterr);
        if (r >= 0)
                r = latest_ticks_scan(ctx, copy_cached_tick, now, reterr);
        return r < 0 ? r : task_copy_end(ctx, reterr);
}

static int64_t interval_msec(TaskContext *ctx) {
        return (int64_t) (settings_duration_usec(task_settings(ctx), "pnl.tick_interval") / USEC_PER_MSEC);
}

static int compute(TaskContext *ctx, const TickRequest *q, const char *now, Error *reterr) {
        const Settings *s = task_settings(ctx);
        const TickCursor *after = &q->after;
        char interval[24], limit[24], lookback[24], begins[24];
        const char *params[] = {
                q->height,
                interval,
                now,
                limit,
                after->set ? (after->new ? "true" : "false") : NULL,
                after->set ? after->id : NULL,
                lookback,
                begins,
        };

        (void) snprintf(interval, sizeof(interval), "%lld", (long long) interval_msec(ctx));
        (void) snprintf(begins, sizeof(begins), "%lld", (long long) q->begins_msec);
        (void) snprintf(limit, sizeof(limit), "%lld", (long long) settings_int(s, "pnl.tick_accounts_per_run"));
        (void) snprintf(lookback, sizeof(lookback), "%lld", (long long) settings_int(s, "pnl.funding_index_lookback"));
        return task_query(ctx, PG_PRIMARY, &sql_pnl_compute_due_ticks, ELEMENTSOF(params), params, NULL, reterr);
}

static int count(TaskContext *ctx, TickPage *p, bool *ret_remarkable, Error *reterr) {
        _cleanup_pg_result_ PGresult *row = NULL;
        int64_t usec;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_count_due_ticks, 0, NULL, &row, reterr);
        if (r < 0)
                return r;
        p->accounts = strtoll(PQgetvalue(row, 0, COUNT_ACCOUNTS), NULL, 10);
        p->ticks = strtoll(PQgetvalue(row, 0, COUNT_TICKS), NULL, 10);
        p->failed = strtoll(PQgetvalue(row, 0, COUNT_FAILED), NULL, 10);
        p->changed = strtoll(PQgetvalue(row, 0, COUNT_CHANGED), NULL, 10);
        p->full = p->accounts >= settings_int(task_settings(ctx), "pnl.tick_accounts_per_run");
        if (p->accounts > 0) {
                (void) snprintf(p->time, sizeof(p->time), "%s", PQgetvalue(row, 0, COUNT_TIME));
                if (parse_iso(p->time, strlen(p->time), &usec) < 0)
                        return error_set(reterr, ERROR_NEVER, -EBADMSG, "unexpected time of a block: %s", p->time);
                p->begins_msec = usec / (int64_t) USEC_PER_MSEC / interval_msec(ctx) * interval_msec(ctx);
                p->last.set = true;
                p->last.new = str_eq(PQgetvalue(row, 0, COUNT_LAST_NEW), "t");
                (void) snprintf(p->last.id, sizeof(p->last.id), "%s", PQgetvalue(row, 0, COUNT_LAST_ID));
        }
        *ret_remarkable = p->failed > 0 || !str_eq(PQgetvalue(row, 0, COUNT_GROWN), "0");
        return 0;
}

static int report_row(const PGresult *row, void *userdata) {
        TaskContext *ctx = userdata;
        const char *subaccount = PQgetvalue(row, 0, ROW_SUBACCOUNT);
        const LogField fields[] = {
                LOG_STRING("SUBACCOUNT_ID", "subaccountId", subaccount),
                LOG_STRING("PREVIOUS_EQUITY", "previousEquity", PQgetvalue(row, 0, ROW_LAST_EQUITY)),
                LOG_STRING("EQUITY", "equity", PQgetvalue(row, 0, ROW_EQUITY)),
                LOG_STRING("PREVIOUS_TOTAL_PNL", "previousTotalPnl", PQgetvalue(row, 0, ROW_LAST_TOTAL)),
                LOG_STRING("TOTAL_PNL", "totalPnl", PQgetvalue(row, 0, ROW_TOTAL)),
        };
        _cleanup_free_ char *item = NULL;

        if (PQgetisnull(row, 0, ROW_FAILURE)) {
                task_log(ctx, LOG_LEVEL_INFO, "create-pnl-ticks#getPnlTicks", fields, ELEMENTSOF(fields),
                         "large change of equity and totalPnl");
                return 0;
        }
        item = str_printf("subaccount %s", subaccount);
        task_item_failed(ctx, item ? item : subaccount, "Error when getting new pnl tick: %s",
                         PQgetvalue(row, 0, ROW_FAILURE));
        return 0;
}

/* The ids of one page of names, as the arrays of name_ticks.sql; *after moves on. */
static int name_page(const PGresult *names, PgArray arrays[static 2], char after[static 24], Error *reterr) {
        char id[UUID_TEXT_SIZE];

        for (int i = 0; i < PQntuples(names); i++) {
                int r = tick_id(PQgetvalue(names, i, NAME_SUBACCOUNT), PQgetvalue(names, i, NAME_CREATED), id, reterr);

                if (r < 0)
                        return r;
                pg_array_append(&arrays[0], PQgetvalue(names, i, NAME_N));
                pg_array_append(&arrays[1], id);
        }
        if (PQntuples(names) > 0)
                (void) snprintf(after, 24, "%s", PQgetvalue(names, PQntuples(names) - 1, NAME_N));
        return 0;
}

static int name_ticks(TaskContext *ctx, Error *reterr) {
        _cleanup_pg_result_ PGresult *names = NULL;
        char after[24] = "0";

        for (;;) {
                PgArray arrays[2] = { 0 };
                const char *params[4] = { NULL, NULL, after, NAME_PAGE_TEXT };
                bool last = names && PQntuples(names) == 0;
                int r = names ? name_page(names, arrays, after, reterr) : 0;

                PQclear(TAKE_PTR(names));
                params[0] = pg_array_text(&arrays[0]);
                params[1] = pg_array_text(&arrays[1]);
                if (r >= 0 && (!params[0] || !params[1]))
                        r = no_memory(reterr);
                if (r >= 0 && !last)
                        r = task_query(ctx, PG_PRIMARY, &sql_pnl_name_ticks, ELEMENTSOF(params), params, &names,
                                       reterr);
                pg_array_done(&arrays[0]);
                pg_array_done(&arrays[1]);
                if (r < 0 || last)
                        return r;
        }
}

/* One statement, or several of tick_rows_per_statement accounts each. */
static int write_ticks(TaskContext *ctx, int64_t accounts, Error *reterr) {
        int64_t chunk = settings_int(task_settings(ctx), "pnl.tick_rows_per_statement");

        if (chunk == 0)
                chunk = accounts;
        for (int64_t from = 0; from < accounts; from += chunk) {
                char low[24], high[24];
                const char *params[] = { low, high };
                int r;

                (void) snprintf(low, sizeof(low), "%lld", (long long) from);
                (void) snprintf(high, sizeof(high), "%lld", (long long) (from + chunk));
                r = task_query(ctx, PG_PRIMARY, &sql_pnl_write_ticks, ELEMENTSOF(params), params, NULL, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What a killed run's successor must know: in Redis before COMMIT, in the database with it. A cursor that got ahead of
 * its page would hide the accounts of that page from everybody. */
static int note(TaskContext *ctx, const TickRequest *q, TaskPending *pending, const TickPage *p, Error *reterr) {
        _cleanup_free_ char *ticks = str_printf(PENDING_TICKS "%s", p->time);
        TickRest rest = { .begins_msec = p->accounts > 0 ? p->begins_msec : q->begins_msec };
        int r = 0;

        if (!ticks)
                return no_memory(reterr);
        if (p->full)
                rest.cursor = p->last;
        if (p->ticks > 0)
                r = task_pending_add(ctx, pending, &(const char *){ ticks }, 1, reterr);
        return r < 0 ? r : tick_rest_write(ctx, &rest, reterr);
}

static int read_phase(TaskContext *ctx, const TickRequest *q, TickPage *p, Error *reterr) {
        uint64_t start = clock_monotonic_usec();
        char now[ISO_TIME_SIZE];
        bool remarkable = false;
        int r;

        (void) format_iso_msec(task_now_usec(ctx), now);
        r = copy_cached_ticks(ctx, now, reterr);
        if (r < 0)
                return r;
        elapsed(ctx, "_get_ticks_relevant_accounts", start);
        r = task_query(ctx, PG_PRIMARY, &sql_pnl_create_due_ticks, 0, NULL, NULL, reterr);
        start = clock_monotonic_usec();
        if (r >= 0)
                r = compute(ctx, q, now, reterr);
        if (r < 0)
                return r;
        /* these are not steps of their own here: the one statement does them, too */
        task_timing(ctx, "_get_ticks_funding_indices", 0, NULL, 0);
        task_timing(ctx, "_get_ticks_account_info", 0, NULL, 0);
        task_timing(ctx, "loops.update_perpetual_markets", 0, NULL, 0);
        elapsed(ctx, "_get_ticks_compute_pnl", start);
        r = count(ctx, p, &remarkable, reterr);
        if (r >= 0 && remarkable)
                r = task_query_each(ctx, PG_PRIMARY, &sql_pnl_read_remarkable_ticks, 0, NULL, report_row, ctx, reterr);
        if (r < 0)
                return r;
        p->read_usec = clock_monotonic_usec();
        elapsed(ctx, "_get_ticks_timing", q->start_usec);
        task_gauge(ctx, "_get_ticks_accounts_to_update", (double) p->accounts, NULL, 0);
        return 0;
}

static int transaction(TaskContext *ctx, const TickRequest *q, TaskPending *pending, TickPage *p, Error *reterr) {
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_lock_ticks, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = read_phase(ctx, q, p, reterr);
        if (r >= 0 && p->ticks > 0)
                r = name_ticks(ctx, reterr);
        if (r >= 0 && p->ticks > 0)
                r = write_ticks(ctx, p->accounts, reterr);
        if (r >= 0)
                r = note(ctx, q, pending, p, reterr);
        return r < 0 ? r : task_commit(ctx, reterr);
}

int tick_page(TaskContext *ctx, const TickRequest *request, TaskPending *pending, TickPage *ret, Error *reterr) {
        TickPage p = { 0 };
        int r;

        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = transaction(ctx, request, pending, &p, reterr);
        if (r < 0) {
                task_rollback(ctx);
                return r;
        }
        *ret = p;
        return 0;
}
