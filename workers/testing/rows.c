/* Runs that are counted by the rows they write themselves, never by our own logs. */

#include "workers/testing/testing.h"

static const SqlStatement insert_row = {
        "insert_row",
        "INSERT INTO testing_runs (run_id, task, host, event, xid) VALUES ($1, $2, $3, $4, txid_current()::text)",
};
static const SqlStatement read_mode = {
        "read_mode",
        "SELECT 1 FROM testing_control WHERE task = $1 AND mode = $2 LIMIT 1",
};
static const SqlStatement count_slices = {
        "count_slices",
        "SELECT count(*) FROM testing_runs WHERE run_id = $1 AND event = 'slice'",
};

int testing_row(TaskContext *ctx, const char *event, Error *reterr) {
        const char *host = settings_string(task_settings(ctx), "testing.host");
        char name[256] = "";

        if (!host) {
                if (gethostname(name, sizeof(name) - 1) < 0)
                        return error_set(reterr, ERROR_RETRY, -errno, "gethostname: %s", strerror(errno));
                host = name;
        }
        return task_query(ctx, PG_PRIMARY, &insert_row, 4,
                          (const char *const[]){ task_run_id(ctx), task_name(ctx), host, event }, NULL, reterr);
}

int testing_mode(TaskContext *ctx, const char *mode, bool *ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, &read_mode, 2, (const char *const[]){ task_name(ctx), mode }, &result, reterr);
        if (r < 0)
                return r;
        *ret = PQntuples(result) > 0;
        return 0;
}

int testing_rows_run(TaskContext *ctx) {
        uint64_t sleep_usec = settings_duration_usec(task_settings(ctx), "testing.rows_sleep");
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = testing_row(ctx, "begin", &e);
        if (r < 0)
                return task_fail(ctx, &e);
        r = cancel_token_poll(task_cancel_token(ctx), -1, 0, sleep_usec);
        if (r < 0) {
                (void) error_set(&e, ERROR_CANCELED, r, "testing: cancelled between its rows: %s",
                                 cancel_reason_to_string(cancel_token_reason(task_cancel_token(ctx))));
                return task_fail(ctx, &e);
        }
        r = testing_row(ctx, "end", &e);
        return r < 0 ? task_fail(ctx, &e) : 0;
}

int testing_more_run(TaskContext *ctx) {
        int64_t slices = settings_int(task_settings(ctx), "testing.more_slices"), done;
        _cleanup_pg_result_ PGresult *result = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = testing_row(ctx, "slice", &e);
        if (r >= 0)
                r = task_query(ctx, PG_PRIMARY, &count_slices, 1, (const char *const[]){ task_run_id(ctx) }, &result,
                               &e);
        if (r < 0)
                return task_fail(ctx, &e);
        done = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        task_progress(ctx, (uint64_t) done, (uint64_t) slices, "slices");
        return done < slices ? TASK_MORE : 0;
}
