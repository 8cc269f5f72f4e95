/* Ticks are in the table before they are in Redis. Between the two their block times are pending names, so that the
 * next run brings to Redis what a killed one did not. */

#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/pnl/latest_ticks.h"
#include "workers/pnl/tick_cache.h"
#include "workers/pnl/tick_page.h"

/* HSET with its fields and values: argv[0] is the command, argv[1] the key, then pairs. */
typedef struct HashPage {
        TaskContext *ctx;
        RedisPipeline *pipeline;
        char *texts[2 * LATEST_TICKS_PAGE];
        size_t n;
        Error *reterr; /* what ended the rows, told apart from what PostgreSQL says */
        bool failed;
} HashPage;

static void hash_page_clear(HashPage *p) {
        for (size_t i = 0; i < p->n; i++)
                free(p->texts[i]);
        p->n = 0;
}

static void hash_page_free(HashPage *p) {
        hash_page_clear(p);
        redis_pipeline_free(p->pipeline);
        free(p);
}
DEFINE_CLEANUP(HashPage, hash_page_free)

static int send_page(HashPage *p) {
        const char *argv[2 + ELEMENTSOF(p->texts)] = { "HSET", LATEST_TICKS_KEY };
        bool done;
        int r;

        if (p->n == 0)
                return 0;
        memcpy(argv + 2, p->texts, p->n * sizeof(*argv));
        redis_pipeline_clear(p->pipeline);
        if (redis_pipeline_add(p->pipeline, 2 + p->n, argv, NULL) < 0)
                return error_set(p->reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu ticks", p->n / 2);
        r = task_redis_write(p->ctx, "write_latest_ticks", p->pipeline, &done, p->reterr);
        if (r >= 0 && done)
                r = redis_reply_check(redis_pipeline_reply(p->pipeline, 0), REDIS_REPLY_INTEGER,
                                      "HSET " LATEST_TICKS_KEY, p->reterr);
        hash_page_clear(p);
        return r;
}

static int add_row(const PGresult *row, void *userdata) {
        HashPage *p = userdata;
        int r = 0;

        for (int i = 0; r >= 0 && i < 2; i++) {
                char *copy = strdup(PQgetvalue(row, 0, i));

                if (copy)
                        p->texts[p->n++] = copy;
                else
                        r = error_set(p->reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu ticks", p->n / 2);
        }
        if (r >= 0 && p->n == ELEMENTSOF(p->texts))
                r = send_page(p);
        p->failed = r < 0;
        return r;
}

static int write_rows(TaskContext *ctx, const char *times, Error *reterr) {
        _cleanup_(hash_page_freep) HashPage *p = calloc(1, sizeof(*p));
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        if (!p || redis_pipeline_new(&p->pipeline) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        p->ctx = ctx;
        p->reterr = reterr;
        r = task_query_each(ctx, PG_PRIMARY, &sql_pnl_read_latest_ticks, 1, &times, add_row, p, &e);
        if (r < 0) {
                if (!p->failed)
                        error_move(reterr, &e);
                return r;
        }
        return send_page(p);
}

int tick_cache_write(TaskContext *ctx, TaskPending *pending, Error *reterr) {
        _cleanup_free_ const char **names = calloc(task_pending_count(pending) + 1, sizeof(*names));
        _cleanup_pg_array_ PgArray times = { 0 };
        const char *text;
        size_t n = 0;
        int r;

        for (size_t i = 0; names && i < task_pending_count(pending); i++) {
                const char *name = task_pending_name(pending, i);

                names[n++] = name;
                /* nobody but us writes names; one that is spoilt must not end every run from now on */
                if (strncmp(name, PENDING_TICKS, strlen(PENDING_TICKS)) == 0 &&
                    parse_iso(name + strlen(PENDING_TICKS), strlen(name + strlen(PENDING_TICKS)), &(int64_t){ 0 }) >= 0)
                        pg_array_append(&times, name + strlen(PENDING_TICKS));
        }
        text = pg_array_text(&times);
        if (!names || !text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (n == 0)
                return 0;
        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = task_query(ctx, PG_PRIMARY, &sql_pnl_lock_ticks, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = write_rows(ctx, text, reterr);
        if (r >= 0)
                r = task_pending_remove(ctx, pending, names, n, reterr);
        task_rollback(ctx); /* only read */
        return r;
}
