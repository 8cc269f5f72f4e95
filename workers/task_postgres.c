/* PostgreSQL for tasks. A dry run has one primary connection in one outer transaction that lives as long as the run and
 * is rolled back with it; the task's own transactions are savepoints in it, and so is each statement outside of them,
 * because a failed one would end the outer transaction, where the run itself may go on. */

#include "workers/task_context_internal.h"

static const SqlStatement transaction_savepoint = { "savepoint", "SAVEPOINT task_transaction" };
static const SqlStatement transaction_release = { "release_savepoint", "RELEASE SAVEPOINT task_transaction" };
static const SqlStatement transaction_rollback = { "rollback_to_savepoint", "ROLLBACK TO SAVEPOINT task_transaction" };

static void release(TaskContext *ctx, PgServer server) {
        PgConn *c = TAKE_PTR(ctx->postgres[server]);

        if (!c)
                return;
        if (!pg_conn_is_broken(c) && pg_conn_transaction_status(c) != PQTRANS_IDLE)
                pg_rollback(c);
        ctx->round_trips += pg_conn_round_trips(c) - ctx->postgres_trips_at[server];
        ctx->commands += pg_conn_round_trips(c) - ctx->postgres_trips_at[server];
        pg_pool_release(ctx->services->postgres, c);
}

void task_postgres_release(TaskContext *ctx) {
        release(ctx, PG_PRIMARY);
        release(ctx, PG_REPLICA);
        ctx->in_transaction = false;
}

static int get_connection(TaskContext *ctx, PgServer server, PgConn **ret, Error *reterr) {
        PgConn *c = NULL;
        int r;

        /* what a dry run has written can be seen only on the connection that wrote it */
        if (ctx->dry_run)
                server = PG_PRIMARY;
        c = ctx->postgres[server];
        /* A lost connection is replaced, but never within a transaction: what follows would be done on its own. A dry
         * run's connection is never replaced, it is a transaction all the time. */
        if (c && pg_conn_is_broken(c) && !ctx->dry_run && !(server == PG_PRIMARY && ctx->in_transaction)) {
                release(ctx, server);
                c = NULL;
        }
        if (!c) {
                r = pg_pool_acquire(ctx->services->postgres, server, ctx->name, ctx->max_run_usec, ctx->token, &c,
                                    reterr);
                if (r < 0)
                        return r;
                ctx->postgres[server] = c;
                ctx->postgres_trips_at[server] = pg_conn_round_trips(c);
                if (ctx->dry_run) {
                        r = pg_begin(c, ctx->token, reterr);
                        if (r < 0) {
                                release(ctx, server);
                                return r;
                        }
                }
        }
        *ret = c;
        return 0;
}

/* Takes back what was done since the savepoint and the savepoint with it. */
static int undo_savepoint(TaskContext *ctx, PgConn *c) {
        int r;

        r = pg_query(c, &transaction_rollback, 0, NULL, ctx->token, NULL, NULL);
        if (r < 0)
                return r;
        return pg_query(c, &transaction_release, 0, NULL, ctx->token, NULL, NULL);
}

/* Ends the savepoint of one statement whose result was `r`. */
static int end_statement(TaskContext *ctx, PgConn *c, int r, Error *reterr) {
        if (r >= 0)
                return pg_query(c, &transaction_release, 0, NULL, ctx->token, NULL, reterr);
        /* the statement's own error is what matters; if this fails too, the whole outer transaction has ended */
        if (undo_savepoint(ctx, c) < 0)
                log_debug("task_postgres#endStatement", "task %s: the dry run's transaction cannot go on", ctx->name);
        return r;
}

static bool needs_savepoint(const TaskContext *ctx) {
        return ctx->dry_run && !ctx->in_transaction;
}

int task_query(TaskContext *ctx, PgServer server, const SqlStatement *statement, size_t n_params,
               const char *const *params, PGresult **ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        PgConn *c = NULL;
        int r;

        r = get_connection(ctx, server, &c, reterr);
        if (r < 0)
                return r;
        if (!needs_savepoint(ctx))
                return pg_query(c, statement, n_params, params, ctx->token, ret, reterr);
        r = pg_query(c, &transaction_savepoint, 0, NULL, ctx->token, NULL, reterr);
        if (r < 0)
                return r;
        r = pg_query(c, statement, n_params, params, ctx->token, &result, reterr);
        r = end_statement(ctx, c, r, reterr);
        if (r >= 0 && ret)
                *ret = TAKE_PTR(result);
        return r;
}

int task_query_each(TaskContext *ctx, PgServer server, const SqlStatement *statement, size_t n_params,
                    const char *const *params, PgRowCallback callback, void *userdata, Error *reterr) {
        PgConn *c = NULL;
        int r;

        r = get_connection(ctx, server, &c, reterr);
        if (r < 0)
                return r;
        if (!needs_savepoint(ctx))
                return pg_query_each(c, statement, n_params, params, ctx->token, callback, userdata, reterr);
        r = pg_query(c, &transaction_savepoint, 0, NULL, ctx->token, NULL, reterr);
        if (r < 0)
                return r;
        r = pg_query_each(c, statement, n_params, params, ctx->token, callback, userdata, reterr);
        return end_statement(ctx, c, r, reterr);
}

static int copy_connection(TaskContext *ctx, PgConn **ret, Error *reterr) {
        if (!ctx->in_transaction)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "task %s copies outside of a transaction", ctx->name);
        return get_connection(ctx, PG_PRIMARY, ret, reterr);
}

int task_copy_begin(TaskContext *ctx, const SqlStatement *statement, Error *reterr) {
        PgConn *c = NULL;
        int r = copy_connection(ctx, &c, reterr);

        return r < 0 ? r : pg_copy_begin(c, statement->name, statement->text, ctx->token, reterr);
}

int task_copy_put(TaskContext *ctx, const char *data, size_t length, Error *reterr) {
        PgConn *c = NULL;
        int r = copy_connection(ctx, &c, reterr);

        return r < 0 ? r : pg_copy_put(c, data, length, ctx->token, reterr);
}

int task_copy_end(TaskContext *ctx, Error *reterr) {
        PgConn *c = NULL;
        int r = copy_connection(ctx, &c, reterr);

        return r < 0 ? r : pg_copy_end(c, ctx->token, reterr);
}

int task_begin(TaskContext *ctx, Error *reterr) {
        PgConn *c = NULL;
        int r;

        if (ctx->in_transaction)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "task %s begins a transaction within a transaction",
                                 ctx->name);
        r = get_connection(ctx, PG_PRIMARY, &c, reterr);
        if (r < 0)
                return r;
        r = ctx->dry_run ? pg_query(c, &transaction_savepoint, 0, NULL, ctx->token, NULL, reterr)
                         : pg_begin(c, ctx->token, reterr);
        if (r >= 0)
                ctx->in_transaction = true;
        return r;
}

int task_commit(TaskContext *ctx, Error *reterr) {
        const TaskServices *s = ctx->services;
        PgConn *c = ctx->postgres[PG_PRIMARY];
        int r;

        if (!c || !ctx->in_transaction)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "task %s commits without a transaction", ctx->name);
        if (ctx->dry_run) {
                r = pg_query(c, &transaction_release, 0, NULL, ctx->token, NULL, reterr);
                if (r >= 0)
                        ctx->in_transaction = false;
                return r;
        }
        /* Two hosts believe that they hold a lock only while one of them cannot reach Redis: that one must not commit.
         */
        if (s->may_commit && !s->may_commit(ctx->name, s->userdata))
                return error_set(reterr, ERROR_CANCELED, -ECANCELED,
                                 "the lock of task %s was not confirmed in time, nothing is committed", ctx->name);
        r = pg_commit(c, ctx->token, reterr);
        /* After a failure the task must roll back; until then nothing else runs on this connection. */
        if (r >= 0)
                ctx->in_transaction = false;
        return r;
}

void task_rollback(TaskContext *ctx) {
        PgConn *c = ctx->postgres[PG_PRIMARY];

        if (!c || !ctx->in_transaction)
                return;
        ctx->in_transaction = false;
        if (!ctx->dry_run)
                pg_rollback(c);
        else if (undo_savepoint(ctx, c) < 0)
                /* everything is rolled back in the end in any case */
                log_debug("task_postgres#rollback", "task %s: the dry run's transaction cannot go on", ctx->name);
}
