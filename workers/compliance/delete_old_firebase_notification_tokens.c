/* delete-old-firebase-notification-tokens: tokens that were not refreshed for a calendar month (compliance
 * specification, section 8). */

#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/compliance/compliance.h"

#define METRIC "delete_old_firebase_notification_tokens"

/* One less in the number of the month; a day that the month before does not have runs over into the next, so the 31st
 * of March leads to the 3rd of March. In UTC. */
static uint64_t month_before(uint64_t usec) {
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;

        (void) gmtime_r(&seconds, &tm);
        tm.tm_mon--;
        return (uint64_t) timegm(&tm) * USEC_PER_SEC + usec % USEC_PER_SEC;
}

static int delete_tokens(TaskContext *ctx, int64_t *ret_deleted, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        char limit[ISO_TIME_SIZE];
        int r;

        (void) format_iso_msec(month_before(task_now_usec(ctx)), limit);
        r = task_begin(ctx, reterr);
        if (r >= 0)
                r = task_query(ctx, PG_PRIMARY, &sql_compliance_delete_tokens, 1, (const char *const[]){ limit },
                               &result, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r < 0) {
                task_rollback(ctx);
                return r;
        }
        *ret_deleted = strtoll(PQcmdTuples(result), NULL, 10);
        return 0;
}

int delete_old_firebase_notification_tokens_run(TaskContext *ctx) {
        uint64_t start = clock_monotonic_usec();
        _cleanup_error_ Error e = ERROR_INIT;
        int64_t deleted = 0;
        int r;

        task_timing(ctx, METRIC, 0, NULL, 0); /* the original sends it twice a run */
        r = delete_tokens(ctx, &deleted, &e);
        task_timing(ctx, METRIC, (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
        if (r < 0) {
                task_log(ctx, LOG_LEVEL_INFO, "delete-old-firebase-notification-tokens#runTask",
                         (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                         "Failed to delete old Firebase notification tokens");
                return task_fail(ctx, &e);
        }
        if (deleted > 0)
                task_count(ctx, "firebase_notification_tokens_deleted", deleted, NULL, 0);
        task_field_int(ctx, "deleted", deleted);
        return 0;
}
