/* aggregate_trading_rewards_daily, _weekly and _monthly: sums of trading rewards by address and period (PnL
 * specification, section 6), an interval of at most an hour at a time.
 *
 * How far a period is, is known in two places: in Redis, where originals look, and in persistent_cache, which commits
 * together with the sums. The later one counts, so that a crash between commit and Redis adds nothing twice. Without
 * the key in Redis the current period is built anew, as in the original. */

#include <stdio.h>

#include "common/clock.h"
#include "common/proto/uuid_v5.h"
#include "sql/statements.h"
#include "workers/pnl/pnl.h"

#define AT "aggregate-trading-rewards#runTask"
#define SECONDS_PER_HOUR 3600

typedef struct Period {
        const char *name, *unit;
        const char *redis_key, *cache_key;
} Period;

/* Kept between slices. */
typedef struct Progressed {
        bool known;
        int64_t first_sec;           /* start of the run's first interval */
        char started[ISO_TIME_SIZE]; /* the period whose first block is known */
        char started_height[32];
        char assumed[ISO_TIME_SIZE];  /* dry run: what Redis was not told */
        int64_t intervals, addresses; /* of this slice */
} Progressed;

typedef struct Interval {
        PGresult *row;
        const char *start, *end, *started, *started_height, *ended_height;
        int direction; /* -1: the end is before the start; 0: empty */
        bool closes, more;
        int64_t start_sec, end_sec, latest_sec;
} Interval;

/* Columns of read_rewards_interval.sql. */
enum {
        COLUMN_START,
        COLUMN_END,
        COLUMN_STARTED,
        COLUMN_DIRECTION,
        COLUMN_CLOSES,
        COLUMN_MORE,
        COLUMN_STARTED_HEIGHT,
        COLUMN_ENDED_HEIGHT,
        COLUMN_START_SEC,
        COLUMN_END_SEC,
        COLUMN_LATEST_SEC,
};
/* Columns of read_rewards.sql and read_aggregations.sql. */
enum { COLUMN_ADDRESS, COLUMN_AMOUNT, COLUMN_ID, COLUMN_FITS };

static int no_memory(Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for trading rewards");
}

/* A statement on the primary, timed under the name of the original's function. */
static int timed_query(TaskContext *ctx, const char *function, const SqlStatement *statement, size_t n,
                       const char *const *params, PGresult **ret, Error *reterr) {
        const MetricTag tags[] = { { "taskName", "aggregate-trading-rewards" }, { "fnName", function } };
        uint64_t start = clock_monotonic_usec();
        int r;

        r = task_query(ctx, PG_PRIMARY, statement, n, params, ret, reterr);
        task_timing(ctx, "generic_function.timing", (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), tags,
                    ELEMENTSOF(tags));
        return r;
}

/* ret is NULL when the key is missing. */
static int read_processed(TaskContext *ctx, const Period *p, char **ret, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        const redisReply *reply;
        int r;

        if (redis_pipeline_new(&pipeline) < 0 || redis_pipeline_addv(pipeline, "GET", p->redis_key, NULL) < 0)
                return no_memory(reterr);
        r = task_redis_read(ctx, "read_processed", pipeline, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(pipeline, 0);
        *ret = NULL;
        if (reply->type == REDIS_REPLY_NIL)
                return 0;
        r = redis_reply_check(reply, REDIS_REPLY_STRING, p->redis_key, reterr);
        if (r < 0)
                return r;
        *ret = strdup(reply->str);
        return *ret ? 0 : no_memory(reterr);
}

static int write_processed(TaskContext *ctx, const Period *p, const char *value, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        bool done;
        int r;

        if (redis_pipeline_new(&pipeline) < 0 || redis_pipeline_addv(pipeline, "SET", p->redis_key, value, NULL) < 0)
                return no_memory(reterr);
        r = task_redis_write(ctx, "write_processed", pipeline, &done, reterr);
        if (r < 0 || !done)
                return r;
        return redis_reply_check(redis_pipeline_reply(pipeline, 0), REDIS_REPLY_STATUS, p->redis_key, reterr);
}

static int write_cache(TaskContext *ctx, const Period *p, const char *value, Error *reterr) {
        const char *params[] = { p->cache_key, value };

        return task_query(ctx, PG_PRIMARY, &sql_pnl_write_cache, ELEMENTSOF(params), params, NULL, reterr);
}

/* Begins the transaction of one step and waits for other hosts' ones. */
static int begin_alone(TaskContext *ctx, Error *reterr) {
        _cleanup_free_ char *lock = str_printf("roundtable/%s", task_name(ctx));
        const char *params[] = { lock };
        int r;

        if (!lock)
                return no_memory(reterr);
        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        return task_query(ctx, PG_PRIMARY, &sql_pnl_lock_task, ELEMENTSOF(params), params, NULL, reterr);
}

/* Without a processed time: takes the current period away and says where to begin. Within a transaction. */
static int recover(TaskContext *ctx, const Period *p, Progressed *s, Error *reterr) {
        _cleanup_pg_result_ PGresult *deleted = NULL, *start = NULL;
        const MetricTag tags[] = { { "taskName", "aggregate-trading-rewards" },
                                   { "fnName", "deleteIncompleteAggregatedTradingReward" } };
        const char *params[] = { p->name };
        uint64_t began = clock_monotonic_usec();
        int64_t n;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_delete_incomplete_rewards, ELEMENTSOF(params), params, &deleted,
                       reterr);
        if (r < 0)
                return r;
        n = strtoll(PQcmdTuples(deleted), NULL, 10);
        if (n > 0) {
                task_timing(ctx, "generic_function.timing",
                            (int64_t) ((clock_monotonic_usec() - began) / USEC_PER_MSEC), tags, ELEMENTSOF(tags));
                task_field_int(ctx, "deleted", n);
        }
        r = task_query(ctx, PG_PRIMARY, &sql_pnl_read_rewards_start, ELEMENTSOF(params), params, &start, reterr);
        if (r < 0)
                return r;
        if (PQgetisnull(start, 0, 0)) {
                task_log(ctx, LOG_LEVEL_ERROR, AT, NULL, 0, "No trading rewards in database");
                return error_set(reterr, ERROR_RETRY, -ENODATA, "No trading rewards in database");
        }
        (void) snprintf(s->assumed, sizeof(s->assumed), "%s", PQgetvalue(start, 0, 0));
        return write_cache(ctx, p, s->assumed, reterr);
}

static void interval_done(Interval *i) {
        PQclear(i->row);
}

static const char *value_or_null(const PGresult *result, int row, int column) {
        return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static int64_t number_at(const PGresult *result, int column) {
        return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

static int read_interval(TaskContext *ctx, const Period *p, const char *processed, Progressed *s, Interval *ret,
                         Error *reterr) {
        _cleanup_free_ char *max_msec = str_printf(
                "%llu", (unsigned long long) (settings_duration_usec(task_settings(ctx), "pnl.rewards_max_interval") /
                                              USEC_PER_MSEC));
        const char *params[] = { processed,
                                 p->cache_key,
                                 p->unit,
                                 max_msec,
                                 *s->started_height ? s->started : NULL,
                                 *s->started_height ? s->started_height : NULL };
        _cleanup_pg_result_ PGresult *row = NULL;
        int r;

        if (!max_msec)
                return no_memory(reterr);
        r = task_query(ctx, PG_PRIMARY, &sql_pnl_read_rewards_interval, ELEMENTSOF(params), params, &row, reterr);
        if (r < 0) {
                /* class 22: a text that is no time */
                if (strncmp(reterr->sqlstate, "22", 2) == 0) {
                        error_prefix(reterr, "%s in Redis or %s in persistent_cache is no time", p->redis_key,
                                     p->cache_key);
                        error_set_hint(reterr,
                                       "look at both; without the key in Redis the current period is built anew");
                }
                return r;
        }
        if (PQgetisnull(row, 0, COLUMN_LATEST_SEC)) {
                task_log(ctx, LOG_LEVEL_ERROR, AT, NULL, 0, "Unable to find latest block");
                return error_set(reterr, ERROR_RETRY, -ENODATA, "Unable to find latest block");
        }
        *ret = (Interval){
                .start = PQgetvalue(row, 0, COLUMN_START),
                .end = PQgetvalue(row, 0, COLUMN_END),
                .started = PQgetvalue(row, 0, COLUMN_STARTED),
                .started_height = value_or_null(row, 0, COLUMN_STARTED_HEIGHT),
                .ended_height = value_or_null(row, 0, COLUMN_ENDED_HEIGHT),
                .direction = (int) number_at(row, COLUMN_DIRECTION),
                .closes = str_eq(PQgetvalue(row, 0, COLUMN_CLOSES), "t"),
                .more = str_eq(PQgetvalue(row, 0, COLUMN_MORE), "t"),
                .start_sec = number_at(row, COLUMN_START_SEC),
                .end_sec = number_at(row, COLUMN_END_SEC),
                .latest_sec = number_at(row, COLUMN_LATEST_SEC),
        };
        ret->row = TAKE_PTR(row);
        return 0;
}

/* Whether the interval can be done; its failures are those of the original. */
static int check_interval(TaskContext *ctx, const Period *p, const Interval *i, Error *reterr) {
        const char *missing = !i->started_height ? i->started : i->closes && !i->ended_height ? i->end : NULL;
        int r;

        if (i->direction < 0) {
                r = error_set(reterr, ERROR_RETRY, -ERANGE, "invalid interval: it begins at %s and would end at %s",
                              i->start, i->end);
                error_set_hint(reterr,
                               "right after the first reward this passes within a minute; else look at %s in "
                               "Redis: it is ahead of the latest block",
                               p->redis_key);
                return r;
        }
        if (i->direction > 0 && missing) {
                task_log(ctx, LOG_LEVEL_ERROR, AT, NULL, 0, "No blocks found after %s", missing);
                return error_set(reterr, ERROR_RETRY, -ENODATA, "No blocks found after %s", missing);
        }
        return 0;
}

/* Arrays of one statement's rows. */
typedef struct Chunk {
        PgArray ids, addresses, amounts;
} Chunk;

static void chunk_done(Chunk *c) {
        pg_array_done(&c->ids);
        pg_array_done(&c->addresses);
        pg_array_done(&c->amounts);
}

static int write_chunk(TaskContext *ctx, const Period *p, const Interval *i, Chunk *c, bool create, Error *reterr) {
        const char *ids = pg_array_text(&c->ids), *addresses = pg_array_text(&c->addresses),
                   *amounts = pg_array_text(&c->amounts);
        int r;

        if (!ids || !addresses || !amounts)
                return no_memory(reterr);
        if (create)
                r = timed_query(
                        ctx, "createChunk", &sql_pnl_create_aggregations, 6,
                        (const char *const[]){ ids, addresses, amounts, p->name, i->started, i->started_height }, NULL,
                        reterr);
        else
                r = timed_query(ctx, "updateChunk", &sql_pnl_update_aggregations, 2,
                                (const char *const[]){ ids, amounts }, NULL, reterr);
        chunk_done(c);
        return r;
}

/* Id of an aggregation: UUID v5 of "address-period-startedAtHeight". */
static int make_id(const Period *p, const Interval *i, const char *address, char ret[static UUID_TEXT_SIZE],
                   Error *reterr) {
        _cleanup_free_ char *name = str_printf("%s-%s-%s", address, p->name, i->started_height);

        if (!name)
                return no_memory(reterr);
        if (uuid_v5(indexer_uuid_namespace, name, strlen(name), ret) < 0)
                return error_set(reterr, ERROR_NEVER, -EIO, "libcrypto refuses SHA-1, which ids of rows are made with");
        return 0;
}

/* Creates the rows of addresses without one, or adds to those of the others. */
static int write_rows(TaskContext *ctx, const Period *p, const Interval *i, const PGresult *rows, bool create,
                      Error *reterr) {
        size_t size = (size_t) settings_int(task_settings(ctx), "pnl.rewards_chunk");
        _cleanup_(chunk_done) Chunk chunk = { 0 };
        int r = 0;

        for (int k = 0; r >= 0 && k < PQntuples(rows); k++) {
                const char *address = PQgetvalue(rows, k, COLUMN_ADDRESS), *id = value_or_null(rows, k, COLUMN_ID);
                char made[UUID_TEXT_SIZE];

                if (create != !id || !str_eq(PQgetvalue(rows, k, COLUMN_FITS), "t"))
                        continue;
                if (create) {
                        r = make_id(p, i, address, made, reterr);
                        if (r < 0)
                                return r;
                }
                pg_array_append(&chunk.ids, create ? made : id);
                pg_array_append(&chunk.addresses, address);
                pg_array_append(&chunk.amounts, PQgetvalue(rows, k, COLUMN_AMOUNT));
                if (size > 0 && chunk.ids.n >= size)
                        r = write_chunk(ctx, p, i, &chunk, create, reterr);
        }
        return r >= 0 && chunk.ids.n > 0 ? write_chunk(ctx, p, i, &chunk, create, reterr) : r;
}

/* The rewards of the interval with the rows they are added to. */
static int read_rows(TaskContext *ctx, const Period *p, const Interval *i, PGresult **ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *rewards = NULL;
        _cleanup_pg_array_ PgArray addresses = { 0 }, amounts = { 0 };
        const char *params[4];
        int r;

        r = timed_query(ctx, "getIntervalTradingRewardsByAddress", &sql_pnl_read_rewards, 2,
                        (const char *const[]){ i->start, i->end }, &rewards, reterr);
        if (r < 0)
                return r;
        for (int k = 0; k < PQntuples(rewards); k++) {
                pg_array_append(&addresses, PQgetvalue(rewards, k, COLUMN_ADDRESS));
                pg_array_append(&amounts, PQgetvalue(rewards, k, COLUMN_AMOUNT));
        }
        params[0] = pg_array_text(&addresses);
        params[1] = pg_array_text(&amounts);
        params[2] = p->name;
        params[3] = i->started_height;
        if (!params[0] || !params[1])
                return no_memory(reterr);
        return timed_query(ctx, "findAllExistingAggregations", &sql_pnl_read_aggregations, ELEMENTSOF(params), params,
                           ret, reterr);
}

static int write_interval(TaskContext *ctx, const Period *p, const Interval *i, const PGresult *rows, Error *reterr) {
        int r;

        r = write_rows(ctx, p, i, rows, true, reterr);
        if (r >= 0)
                r = write_rows(ctx, p, i, rows, false, reterr);
        if (r >= 0 && i->closes)
                r = task_query(ctx, PG_PRIMARY, &sql_pnl_close_aggregations, 4,
                               (const char *const[]){ p->name, i->started_height, i->end, i->ended_height }, NULL,
                               reterr);
        if (r >= 0)
                r = write_cache(ctx, p, i->end, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r < 0)
                task_log(ctx, LOG_LEVEL_INFO, AT,
                         (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(reterr)) }, 1,
                         "Failed to update trading rewards aggregation");
        return r;
}

/* A sum that no row can hold must not keep everybody else's from being stored. */
static void tell_misfits(TaskContext *ctx, const Period *p, const PGresult *rows) {
        for (int k = 0; k < PQntuples(rows); k++) {
                _cleanup_free_ char *item = NULL;

                if (str_eq(PQgetvalue(rows, k, COLUMN_FITS), "t"))
                        continue;
                item = str_printf("address %s", PQgetvalue(rows, k, COLUMN_ADDRESS));
                task_item_failed(ctx, item ? item : PQgetvalue(rows, k, COLUMN_ADDRESS),
                                 "its %s rewards would reach 10^9 with another %s, more than the column holds", p->name,
                                 PQgetvalue(rows, k, COLUMN_AMOUNT));
        }
}

static void tell_progress(TaskContext *ctx, Progressed *s, const Interval *i, const PGresult *rows) {
        if (!s->known)
                s->first_sec = i->start_sec;
        s->known = true;
        task_field_int(ctx, "intervals", ++s->intervals);
        s->addresses += PQntuples(rows);
        task_field_int(ctx, "addresses", s->addresses);
        if (i->more || i->start_sec != s->first_sec)
                task_progress(ctx, (uint64_t) ((i->end_sec - s->first_sec) / SECONDS_PER_HOUR),
                              (uint64_t) ((i->latest_sec - s->first_sec) / SECONDS_PER_HOUR), "hours");
}

/* The interval behind `processed`, in the transaction that has begun. *ret_more: whether another one is due. */
static int run_interval(TaskContext *ctx, const Period *p, const char *processed, Progressed *s, bool *ret_more,
                        Error *reterr) {
        _cleanup_(interval_done) Interval i = { 0 };
        _cleanup_pg_result_ PGresult *rows = NULL;
        int r;

        r = read_interval(ctx, p, processed, s, &i, reterr);
        if (r >= 0)
                r = check_interval(ctx, p, &i, reterr);
        if (r < 0)
                return r;
        *ret_more = i.more;
        task_log(ctx, LOG_LEVEL_DEBUG, AT,
                 (const LogField[]){ LOG_STRING("START", "start", i.start), LOG_STRING("END", "end", i.end) }, 2,
                 "Generated interval to aggregate trading rewards");
        if (i.direction > 0) {
                (void) snprintf(s->started, sizeof(s->started), "%s", i.started);
                (void) snprintf(s->started_height, sizeof(s->started_height), "%s", i.started_height);
                r = read_rows(ctx, p, &i, &rows, reterr);
                if (r >= 0)
                        r = write_interval(ctx, p, &i, rows, reterr);
                if (r < 0)
                        return r;
                tell_misfits(ctx, p, rows);
                tell_progress(ctx, s, &i, rows);
        }
        /* also after an empty interval: a run before may have ended between commit and here */
        return i.direction > 0 || !str_eq(processed, i.end) ? write_processed(ctx, p, i.end, reterr) : 0;
}

/* One transaction: a recovery or an interval. */
static int run_step(TaskContext *ctx, const Period *p, Progressed *s, bool *ret_more, Error *reterr) {
        _cleanup_free_ char *processed = NULL;
        int r;

        r = begin_alone(ctx, reterr);
        if (r < 0)
                return r;
        /* behind the lock: what another host wrote before it was done is seen */
        r = read_processed(ctx, p, &processed, reterr);
        if (r < 0)
                return r;
        if (!processed && task_is_dry_run(ctx) && *s->assumed) {
                processed = strdup(s->assumed);
                if (!processed)
                        return no_memory(reterr);
        }
        if (processed)
                return run_interval(ctx, p, processed, s, ret_more, reterr);
        *ret_more = true;
        r = recover(ctx, p, s, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        return r < 0 ? r : write_processed(ctx, p, s->assumed, reterr);
}

static int run_period(TaskContext *ctx, const Period *p) {
        uint64_t start = clock_monotonic_usec(), slice = settings_duration_usec(task_settings(ctx), "pnl.slice");
        _cleanup_error_ Error e = ERROR_INIT;
        Progressed *s = task_kept(ctx);
        bool more = true;

        if (!s) {
                s = calloc(1, sizeof(*s));
                if (!s) {
                        (void) no_memory(&e);
                        return task_fail(ctx, &e);
                }
                task_keep(ctx, s, free);
        }
        s->intervals = s->addresses = 0;
        while (more) {
                int64_t done = s->intervals;
                int r = run_step(ctx, p, s, &more, &e);

                task_rollback(ctx); /* what was not committed, an empty interval too */
                if (r < 0)
                        return task_fail(ctx, &e);
                if (more && (clock_monotonic_usec() - start >= slice || (task_is_dry_run(ctx) && s->intervals > done)))
                        return TASK_MORE;
        }
        return 0;
}

#define PERIOD(name_, unit_)                                                                                           \
        ((Period){ name_, unit_, "v4/aggregate_trading_rewards_processed/" name_,                                      \
                   "aggregateTradingRewardsProcessed/" name_ })

int aggregate_trading_rewards_daily_run(TaskContext *ctx) {
        return run_period(ctx, &PERIOD("DAILY", "day"));
}

int aggregate_trading_rewards_weekly_run(TaskContext *ctx) {
        return run_period(ctx, &PERIOD("WEEKLY", "week"));
}

int aggregate_trading_rewards_monthly_run(TaskContext *ctx) {
        return run_period(ctx, &PERIOD("MONTHLY", "month"));
}
