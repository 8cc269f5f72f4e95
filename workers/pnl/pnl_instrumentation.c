/* pnl_instrumentation: how many subaccounts have no tick of the last two hours (PnL specification, section 4). It only
 * reads: accounts stream from the replica, and for a page of them at a time Redis is asked for its latest ticks. */

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/pnl/latest_ticks.h"
#include "workers/pnl/pnl.h"

#define STALE_MSEC ((int64_t) 2 * 3600 * 1000)
/* So many ids are named in the journal; all are counted. */
#define MAX_NAMED 100

/* Columns of read_tick_ages.sql. */
enum { AGE_TOP, AGE_ID, AGE_TICK_HEIGHT, AGE_TICK_MSEC, AGE_TRANSFER_MSEC };

typedef struct Account {
        char id[UUID_TEXT_SIZE];
        int64_t tick_height, tick_msec; /* height 0: no tick */
        int64_t transfer_msec;
} Account;

typedef struct StaleList {
        int64_t n;
        Buffer ids; /* JSON, without the closing bracket */
} StaleList;

typedef struct Survey {
        TaskContext *ctx;
        RedisPipeline *pipeline;
        int64_t now_msec, top_height; /* height -1: no block */
        int64_t n_accounts;
        StaleList ticks, transfers;
        Error *reterr; /* what ended the rows, told apart from what PostgreSQL says */
        bool failed;
        size_t n;
        Account page[LATEST_TICKS_PAGE];
} Survey;

static void survey_free(Survey *s) {
        redis_pipeline_free(s->pipeline);
        buffer_done(&s->ticks.ids);
        buffer_done(&s->transfers.ids);
        free(s);
}
DEFINE_CLEANUP(Survey, survey_free)

static void add_stale(StaleList *l, const char *id) {
        if (l->n++ < MAX_NAMED)
                (void) buffer_printf(&l->ids, "%s\"%s\"", l->n == 1 ? "[" : ",", id);
}

/* Takes over the entry of Redis if it is of a later block than the table's, and of one that exists. */
static int take_cached(Survey *s, Account *a, const redisReply *value, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        LatestTick tick;
        int r;

        if (value->type == REDIS_REPLY_NIL)
                return 0;
        r = redis_reply_check(value, REDIS_REPLY_STRING, "HMGET " LATEST_TICKS_KEY, reterr);
        if (r < 0)
                return r;
        r = latest_tick_parse(value->str, value->len, &tick, &e);
        if (r == -ENOMEM) {
                error_move(reterr, &e);
                return r;
        }
        if (r < 0)
                latest_tick_unusable(s->ctx, a->id, strlen(a->id), &e);
        else if (tick.height > a->tick_height && tick.height <= s->top_height) {
                a->tick_height = tick.height;
                a->tick_msec = tick.time_usec / (int64_t) USEC_PER_MSEC;
        }
        return 0;
}

static int judge_page(Survey *s) {
        const char *argv[2 + LATEST_TICKS_PAGE] = { "HMGET", LATEST_TICKS_KEY };
        const redisReply *reply;
        int r;

        if (s->n == 0)
                return 0;
        for (size_t i = 0; i < s->n; i++)
                argv[2 + i] = s->page[i].id;
        redis_pipeline_clear(s->pipeline);
        if (redis_pipeline_add(s->pipeline, 2 + s->n, argv, NULL) < 0)
                return error_set(s->reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = task_redis_read(s->ctx, "read_latest_ticks", s->pipeline, s->reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(s->pipeline, 0);
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "HMGET " LATEST_TICKS_KEY, s->reterr);
        if (r >= 0 && reply->elements != s->n)
                r = error_set(s->reterr, ERROR_NEVER, -EBADMSG, "redis: HMGET %s: %zu values for %zu fields",
                              LATEST_TICKS_KEY, reply->elements, s->n);
        for (size_t i = 0; r >= 0 && i < s->n; i++) {
                Account *a = s->page + i;

                r = take_cached(s, a, reply->element[i], s->reterr);
                if (r < 0)
                        break;
                if (a->tick_height > 0 && s->now_msec - a->tick_msec >= STALE_MSEC)
                        add_stale(&s->ticks, a->id);
                else if (a->tick_height == 0 && s->now_msec - a->transfer_msec > STALE_MSEC)
                        add_stale(&s->transfers, a->id);
        }
        s->n_accounts += (int64_t) s->n;
        s->n = 0;
        return r;
}

static int64_t number(const PGresult *row, int column) {
        return strtoll(PQgetvalue(row, 0, column), NULL, 10); /* NULL is an empty text: 0 */
}

static int add_row(const PGresult *row, void *userdata) {
        Survey *s = userdata;
        Account *a = s->page + s->n;
        int r = 0;

        if (PQgetisnull(row, 0, AGE_TOP))
                return 0;
        s->top_height = number(row, AGE_TOP);
        if (!subaccount_id_parse(PQgetvalue(row, 0, AGE_ID), (size_t) PQgetlength(row, 0, AGE_ID), a->id))
                return 0;
        a->tick_height = number(row, AGE_TICK_HEIGHT);
        a->tick_msec = number(row, AGE_TICK_MSEC);
        a->transfer_msec = number(row, AGE_TRANSFER_MSEC);
        if (++s->n == ELEMENTSOF(s->page))
                r = judge_page(s);
        s->failed = r < 0;
        return r;
}

static int survey(Survey *s, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        s->reterr = reterr;
        r = task_query_each(s->ctx, PG_REPLICA, &sql_pnl_read_tick_ages, 0, NULL, add_row, s, &e);
        if (r < 0) {
                if (!s->failed)
                        error_move(reterr, &e);
                return r;
        }
        if (s->top_height < 0) {
                r = error_set(reterr, ERROR_RETRY, -ENODATA, "Unable to find latest block");
                error_set_hint(reterr, "the table blocks is empty: the indexer has not stored any block yet");
                return r;
        }
        return judge_page(s);
}

static const char *finish(StaleList *l) {
        (void) buffer_append_string(&l->ids, l->n == 0 ? "[]" : "]");
        return buffer_failed(&l->ids) ? "[]" : l->ids.data;
}

static void report(Survey *s) {
        TaskContext *ctx = s->ctx;
        int64_t n = s->ticks.n + s->transfers.n;

        task_gauge(ctx, "pnl_stale_subaccounts", (double) n, NULL, 0);
        task_gauge(ctx, "pnl_stale_subaccounts_with_prior_pnl", (double) s->ticks.n, NULL, 0);
        task_gauge(ctx, "pnl_stale_subaccounts_without_prior_pnl", (double) s->transfers.n, NULL, 0);
        task_field_int(ctx, "subaccounts", s->n_accounts);
        task_field_int(ctx, "stale", n);
        if (n == 0)
                return;
        task_log(ctx, LOG_LEVEL_ERROR, "pnl-instrumentation#statPnl",
                 (const LogField[]){
                         LOG_JSON("STALE_PNL_SUBACCOUNTS", "stalePnlSubaccounts", finish(&s->ticks)),
                         LOG_JSON("STALE_TRANSFER_SUBACCOUNTS", "staleTransferSubaccounts", finish(&s->transfers)),
                         LOG_INT("STALE_PNL_COUNT", "stalePnlCount", s->ticks.n),
                         LOG_INT("STALE_TRANSFER_COUNT", "staleTransferCount", s->transfers.n),
                 },
                 4, "Subaccount ids with stale PNL data");
}

int pnl_instrumentation_run(TaskContext *ctx) {
        _cleanup_(survey_freep) Survey *s = calloc(1, sizeof(*s));
        _cleanup_error_ Error e = ERROR_INIT;

        if (!s || redis_pipeline_new(&s->pipeline) < 0) {
                (void) error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory");
                return task_fail(ctx, &e);
        }
        s->ctx = ctx;
        s->top_height = -1;
        s->now_msec = (int64_t) (task_now_usec(ctx) / USEC_PER_MSEC);
        if (survey(s, &e) < 0)
                return task_fail(ctx, &e);
        report(s);
        return 0;
}
