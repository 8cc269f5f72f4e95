/* PostgreSQL for tasks. In a dry run there is one primary connection in one outer transaction that lives until the run
 * ends and is rolled back with it; the task's own transactions are savepoints in it. */

#include "workers/task_context_internal.h"

static const SqlStatement savepoint = { "savepoint", "SAVEPOINT dry_run" };
static const SqlStatement release_savepoint = { "release_savepoint", "RELEASE SAVEPOINT dry_run" };
static const SqlStatement rollback_to_savepoint = { "rollback_to_savepoint", "ROLLBACK TO SAVEPOINT dry_run" };

int task_connection(TaskContext *ctx, PgServer server, PgConn **ret, Error *reterr) {
        PgConn **c;
        int r;

        /* what a dry run has written can be seen on the connection that wrote it alone */
        if (ctx->dry_run)
                server = PG_PRIMARY;
        c = &ctx->postgres[server];
        if (*c && pg_conn_is_broken(*c) && !ctx->dry_run) {
                pg_pool_release(ctx->services->postgres, *c);
                *c = NULL;
        }
        if (!*c) {
                r = pg_pool_acquire(ctx->services->postgres, server, ctx->name, ctx->max_run_usec, ctx->token, c, reterr);
                if (r < 0)
                        return r;
                ctx->round_trips_before[server] = pg_conn_round_trips(*c);
                if (ctx->dry_run) {
                        r = pg_begin(*c, ctx->token, reterr);
                        if (r < 0)
                                return r;
                }
        }
        *ret = *c;
        return 0;
}

/* A statement that fails would end the whole outer transaction, where the task's own run goes on: hence a savepoint of
 * its own around what is outside a transaction. */
static int dry_query(TaskContext *ctx, PgConn *c, const SqlStatement *statement, size_t n_params,
                     const char *const *params, PGresult **ret, Error *reterr) {
        bool own = !ctx->savepoint;
        int r, q;

        if (own) {
                r = pg_query(c, &savepoint, 0, NULL, ctx->token, NULL, reterr);
                if (r < 0)
                        return r;
        }
        r = pg_query(c, statement, n_params, params, ctx->token, ret, reterr);
        if (!own)
                return r;
        if (r < 0) {
                /* the statement's error is what matters */
                (void) pg_query(c, &rollback_to_savepoint, 0, NULL, ctx->token, NULL, NULL);
                return r;
        }
        q = pg_query(c, &release_savepoint, 0, NULL, ctx->token, NULL, reterr);
        return q < 0 ? q : r;
}

int task_query(TaskContext *ctx, PgServer server, const SqlStatement *statement, size_t n_params,
               const char *const *params, PGresult **ret, Error *reterr) {
        PgConn *c = NULL;
        int r;

        r = task_connection(ctx, server, &c, reterr);
        if (r < 0)
                return r;
        if (ctx->dry_run)
                return dry_query(ctx, c, statement, n_params, params, ret, reterr);
        return pg_query(c, statement, n_params, params, ctx->token, ret, reterr);
}

int task_query_each(TaskContext *ctx, PgServer server, const SqlStatement *statement, size_t n_params,
                    const char *const *params, PgRowCallback callback, void *userdata, Error *reterr) {
        PgConn *c = NULL;
        int r;

        r = task_connection(ctx, server, &c, reterr);
        if (r < 0)
                return r;
        return pg_query_each(c, statement, n_params, params, ctx->token, callback, userdata, reterr);
}

int task_begin(TaskContext *ctx, Error *reterr) {
        PgConn *c = NULL;
        int r;

        r = task_connection(ctx, PG_PRIMARY, &c, reterr);
        if (r < 0)
                return r;
        if (!ctx->dry_run)
                return pg_begin(c, ctx->token, reterr);
        r = pg_query(c, &savepoint, 0, NULL, ctx->token, NULL, reterr);
        if (r >= 0)
                ctx->savepoint = true;
        return r;
}

int task_commit(TaskContext *ctx, Error *reterr) {
        PgConn *c = ctx->postgres[PG_PRIMARY];

        if (!c)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "task %s commits without a transaction", ctx->name);
        if (ctx->dry_run) {
                ctx->savepoint = false;
                return pg_query(c, &release_savepoint, 0, NULL, ctx->token, NULL, reterr);
        }
        /* Two hosts may believe they hold the lock only if one of them cannot reach Redis: that one must not commit. */
        if (ctx->services->may_commit && !ctx->services->may_commit(ctx->name, ctx->services->userdata)) {
                cancel_token_cancel(ctx->token, CANCEL_LOCK);
                return error_set(reterr, ERROR_CANCELED, -ECANCELED,
                                 "the lock of task %s was not confirmed in time, nothing is committed", ctx->name);
        }
        return pg_commit(c, ctx->token, reterr);
}

void task_rollback(TaskContext *ctx) {
        PgConn *c = ctx->postgres[PG_PRIMARY];

        if (!c)
                return;
        if (!ctx->dry_run) {
                pg_rollback(c);
                return;
        }
        if (ctx->savepoint && pg_query(c, &rollback_to_savepoint, 0, NULL, ctx->token, NULL, NULL) < 0)
                /* everything is rolled back in the end in any case */
                log_debug("worker#dryRun", "cannot roll back to the savepoint of task %s", ctx->name);
        ctx->savepoint = false;
}
