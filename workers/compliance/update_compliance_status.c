/* update_compliance_status: CLOSE_ONLY for some days becomes BLOCKED (compliance specification, section 3). */

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/compliance/compliance.h"

#define DAY_USEC (86400 * USEC_PER_SEC)

int update_compliance_status_run(TaskContext *ctx) {
        const Settings *settings = task_settings(ctx);
        uint64_t days = (uint64_t) settings_int(settings, "compliance.status.close_only_days");
        uint64_t now = task_now_usec(ctx), start = clock_monotonic_usec();
        _cleanup_pg_result_ PGresult *result = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        char limit_text[ISO_TIME_SIZE], now_text[ISO_TIME_SIZE];
        const char *params[] = {
                format_iso_msec(now > days * DAY_USEC ? now - days * DAY_USEC : 0, limit_text),
                format_iso_msec(now, now_text),
                settings_bool(settings, "compliance.status.keep_reason") ? "true" : "false",
        };
        int64_t msec, n;
        int r;

        r = task_begin(ctx, &e);
        if (r >= 0)
                r = task_query(ctx, PG_PRIMARY, &sql_compliance_block_close_only, ELEMENTSOF(params), params, &result,
                               &e);
        if (r >= 0)
                r = task_commit(ctx, &e);
        if (r < 0) {
                task_rollback(ctx);
                return task_fail(ctx, &e);
        }
        msec = (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC);
        n = strtoll(PQcmdTuples(result), NULL, 10);
        /* one statement finds and writes: both of the original's figures are about it */
        task_timing(ctx, "query_stale_close_only.timing", msec, NULL, 0);
        task_timing(ctx, "update_stale_close_only.timing", msec, NULL, 0);
        task_gauge(ctx, "num_stale_close_only_updated.count", (double) n, NULL, 0);
        task_field_int(ctx, "blocked", n);
        return 0;
}
