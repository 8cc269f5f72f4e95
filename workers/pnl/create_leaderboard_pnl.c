/* create_leaderboard_pnl_*: addresses ranked by the PnL of a span of time, from the ticks (PnL specification, section
 * 7). The ranking is read where reading is cheap, the replica, and streams into a temporary table on the primary; there
 * one transaction puts it in the place of the old one. */

#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/pnl/pnl.h"
#include "workers/pnl/vault_address.h"

typedef struct Span {
        const char *name, *days; /* NULL days: all time */
} Span;

/* Columns of rank_accounts.sql. */
#define RANKED_COLUMNS 5
/* Columns of read_unranked.sql. */
enum { UNRANKED_ADDRESS, UNRANKED_FAILURE };

static int no_memory(Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

static char *processed_key(const Span *span) {
        return str_printf("v4/leaderboard_pnl_processed/%s", span->name);
}

/* Time of the ticks that were ranked last; INT64_MIN when none were. */
static int read_processed(TaskContext *ctx, const Span *span, int64_t *ret_msec, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_free_ char *key = processed_key(span);
        const redisReply *reply;
        int64_t usec;
        int r;

        *ret_msec = INT64_MIN;
        if (!key || redis_pipeline_new(&p) < 0 || redis_pipeline_addv(p, "GET", key, NULL) < 0)
                return no_memory(reterr);
        r = task_redis_read(ctx, "read_processed", p, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(p, 0);
        if (reply->type == REDIS_REPLY_NIL)
                return 0;
        r = redis_reply_check(reply, REDIS_REPLY_STRING, key, reterr);
        if (r < 0 || !reply)
                return r;
        if (parse_iso(reply->str, reply->len, &usec) >= 0)
                *ret_msec = usec / (int64_t) USEC_PER_MSEC;
        else if (reply->len > 0)
                task_log(ctx, LOG_LEVEL_WARNING, "create-leaderboard#runTask",
                         (const LogField[]){ LOG_STRING("KEY", "key", key) }, 1,
                         "%s is not a time: %.64s; the span is ranked anew", key, reply->str);
        return 0;
}

static int write_processed(TaskContext *ctx, const Span *span, int64_t msec, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_free_ char *key = processed_key(span);
        char time[ISO_TIME_SIZE];
        bool done;
        int r;

        (void) format_iso_msec((uint64_t) msec * USEC_PER_MSEC, time);
        if (!key || redis_pipeline_new(&p) < 0 || redis_pipeline_addv(p, "SET", key, time, NULL) < 0)
                return no_memory(reterr);
        r = task_redis_write(ctx, "write_processed", p, &done, reterr);
        return r < 0 || !done ? r : redis_reply_check(redis_pipeline_reply(p, 0), REDIS_REPLY_STATUS, key, reterr);
}

static int excluded_addresses(PgArray *a, Error *reterr) {
        char address[VAULT_ADDRESS_SIZE];

        for (unsigned n = 0; n < VAULT_ADDRESSES; n++) {
                int r = vault_address(n, address);

                if (r < 0)
                        return error_set(reterr, ERROR_NEVER, r, "address of vault %u: SHA-256 is refused by libcrypto",
                                         n);
                pg_array_append(a, address);
        }
        return pg_array_text(a) ? 0 : no_memory(reterr);
}

typedef struct RankedCopy {
        TaskContext *ctx;
        Buffer line;
        Error *reterr; /* what ended the rows, told apart from what the replica says */
        bool failed;
} RankedCopy;

/* A field of COPY's text format. */
static void append_field(Buffer *b, const char *value) {
        for (; value && *value; value++) {
                const char *escaped = *value == '\t'   ? "\\t"
                                      : *value == '\n' ? "\\n"
                                      : *value == '\r' ? "\\r"
                                      : *value == '\\' ? "\\\\"
                                                       : NULL;

                (void) buffer_append(b, escaped ? escaped : value, escaped ? 2 : 1);
        }
        if (!value)
                (void) buffer_append_string(b, "\\N");
}

static int copy_row(const PGresult *row, void *userdata) {
        RankedCopy *c = userdata;
        int r;

        buffer_clear(&c->line);
        for (int i = 0; i < RANKED_COLUMNS; i++) {
                if (i > 0)
                        (void) buffer_append(&c->line, "\t", 1);
                append_field(&c->line, PQgetisnull(row, 0, i) ? NULL : PQgetvalue(row, 0, i));
        }
        (void) buffer_append(&c->line, "\n", 1);
        r = buffer_failed(&c->line) ? no_memory(c->reterr)
                                    : task_copy_put(c->ctx, c->line.data, c->line.length, c->reterr);
        c->failed = r < 0;
        return r;
}

static int rank_on_replica(TaskContext *ctx, const char *const *params, size_t n, Error *reterr) {
        RankedCopy c = { .ctx = ctx, .reterr = reterr };
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = task_copy_begin(ctx, &sql_pnl_copy_ranked, reterr);
        if (r < 0)
                return r;
        r = task_query_each(ctx, PG_REPLICA, &sql_pnl_rank_accounts, n, params, copy_row, &c, &e);
        buffer_done(&c.line);
        if (r < 0) {
                if (!c.failed)
                        error_move(reterr, &e);
                return r;
        }
        return task_copy_end(ctx, reterr);
}

/* Where both are one server the rows need not leave it. */
static int rank_on_primary(TaskContext *ctx, const char *const *params, size_t n, Error *reterr) {
        _cleanup_free_ char *text = str_printf("INSERT INTO pnl_ranked (address, pnl, equity, rank, failure)\n%s",
                                               sql_pnl_rank_accounts.text);
        SqlStatement statement = { sql_pnl_rank_accounts.name, text };

        return text ? task_query(ctx, PG_PRIMARY, &statement, n, params, NULL, reterr) : no_memory(reterr);
}

static bool replica_is_another(TaskContext *ctx) {
        const Settings *s = task_settings(ctx);

        /* a dry run has one connection, on which COPY and rows cannot take turns */
        return !task_is_dry_run(ctx) && settings_bool(s, "database.use_replica") &&
               !str_eq(settings_string(s, "database.host"), settings_string(s, "database.replica_host"));
}

static int rank_span(TaskContext *ctx, const Span *span, Error *reterr) {
        _cleanup_pg_array_ PgArray excluded = { 0 };
        const char *params[3] = { NULL, span->days };
        char now[ISO_TIME_SIZE];
        int r;

        params[0] = format_iso_msec(task_now_usec(ctx), now);
        r = excluded_addresses(&excluded, reterr);
        if (r < 0)
                return r;
        params[2] = pg_array_text(&excluded);
        r = task_query(ctx, PG_PRIMARY, &sql_pnl_create_ranked, 0, NULL, NULL, reterr);
        if (r < 0)
                return r;
        return replica_is_another(ctx) ? rank_on_replica(ctx, params, ELEMENTSOF(params), reterr)
                                       : rank_on_primary(ctx, params, ELEMENTSOF(params), reterr);
}

static int report_unranked(const PGresult *row, void *userdata) {
        _cleanup_free_ char *item = str_printf("address %s", PQgetvalue(row, 0, UNRANKED_ADDRESS));

        task_item_failed(userdata, item ? item : "address", "it is not ranked: %s",
                         PQgetvalue(row, 0, UNRANKED_FAILURE));
        return 0;
}

/* One statement, or several of leaderboard_rows_per_statement ranks each. */
static int write_ranks(TaskContext *ctx, const Span *span, int64_t *ret_written, Error *reterr) {
        int64_t chunk = settings_int(task_settings(ctx), "pnl.leaderboard_rows_per_statement"), ranked = 0;
        _cleanup_pg_result_ PGresult *row = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_count_ranked, 0, NULL, &row, reterr);
        if (r < 0)
                return r;
        ranked = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
        task_field_int(ctx, "ranked", ranked);
        if (chunk == 0)
                chunk = ranked;
        for (int64_t from = 0; from < ranked; from += chunk) {
                _cleanup_pg_result_ PGresult *written = NULL;
                char low[24], high[24];
                const char *params[] = { span->name, low, high };

                (void) snprintf(low, sizeof(low), "%lld", (long long) from);
                (void) snprintf(high, sizeof(high), "%lld", (long long) (from + chunk));
                r = task_query(ctx, PG_PRIMARY, &sql_pnl_write_ranked, ELEMENTSOF(params), params, &written, reterr);
                if (r < 0)
                        return r;
                *ret_written += strtoll(PQcmdTuples(written), NULL, 10);
        }
        return 0;
}

static int transaction(TaskContext *ctx, const Span *span, Error *reterr) {
        int64_t written = 0;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_lock_leaderboard, 1, &span->name, NULL, reterr);
        if (r >= 0)
                r = rank_span(ctx, span, reterr);
        if (r >= 0)
                r = task_query_each(ctx, PG_PRIMARY, &sql_pnl_read_unranked, 0, NULL, report_unranked, ctx, reterr);
        if (r >= 0)
                r = write_ranks(ctx, span, &written, reterr);
        if (r >= 0 && settings_bool(task_settings(ctx), "pnl.leaderboard_delete_unranked"))
                r = task_query(ctx, PG_PRIMARY, &sql_pnl_delete_unranked, 1, &span->name, NULL, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r >= 0)
                task_field_int(ctx, "written", written);
        return r;
}

static int replace(TaskContext *ctx, const Span *span, Error *reterr) {
        int r;

        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = transaction(ctx, span, reterr);
        if (r < 0)
                task_rollback(ctx);
        return r;
}

static int run(TaskContext *ctx, const Span *span, Error *reterr) {
        _cleanup_pg_result_ PGresult *row = NULL;
        int64_t processed, latest;
        int r;

        r = read_processed(ctx, span, &processed, reterr);
        if (r >= 0)
                r = task_query(ctx, PG_REPLICA, &sql_pnl_read_latest_tick_time, 0, NULL, &row, reterr);
        if (r < 0)
                return r;
        latest = strtoll(PQgetvalue(row, 0, 0), NULL, 10); /* without ticks an empty text: the epoch */
        if (processed >= latest) {
                task_log(ctx, LOG_LEVEL_DEBUG, "create-leaderboard#runTask", NULL, 0,
                         "%s is ranked up to the latest tick", span->name);
                return 0;
        }
        r = replace(ctx, span, reterr);
        return r < 0 ? r : write_processed(ctx, span, latest, reterr);
}

static int create_leaderboard(TaskContext *ctx, const char *name, const char *days) {
        const Span span = { name, days };
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = run(ctx, &span, &e);
        if (r >= 0)
                return 0;
        /* the original swallowed these and called the run a success */
        task_log(ctx, LOG_LEVEL_ERROR, "create-leaderboard#runTask",
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                 "Error when updating leaderboard pnl table");
        return task_fail(ctx, &e);
}

int create_leaderboard_pnl_all_time_run(TaskContext *ctx) {
        return create_leaderboard(ctx, "ALL_TIME", NULL);
}

int create_leaderboard_pnl_daily_run(TaskContext *ctx) {
        return create_leaderboard(ctx, "ONE_DAY", "1");
}

int create_leaderboard_pnl_monthly_run(TaskContext *ctx) {
        return create_leaderboard(ctx, "THIRTY_DAYS", "30");
}

int create_leaderboard_pnl_weekly_run(TaskContext *ctx) {
        return create_leaderboard(ctx, "SEVEN_DAYS", "7");
}

int create_leaderboard_pnl_yearly_run(TaskContext *ctx) {
        return create_leaderboard(ctx, "ONE_YEAR", "365");
}
