/* One transaction per window: advisory lock, window, sums, checkpoint. The advisory lock makes two hosts of ours wait
 * for each other even when Redis has told both that they hold the task's lock; the checkpoint moves only from the value
 * that was read, so whoever else moved it meanwhile makes us roll back. */

#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/compliance/accumulation.h"

/* Columns of read_window.sql. */
enum { VALUE, START, END, LATEST, FROM_TEXT, TO_TEXT, ADVANCES, START_USEC, LATEST_USEC, END_USEC };
/* Columns of the adding statements. */
enum { FILLS, CHANGED, BAD };

typedef struct Window {
        PGresult *row;
        const char *value; /* of the checkpoint; NULL: none yet */
        const char *start, *end;
        bool advances;
        bool bad; /* a fill of it cannot be added up */
        int64_t start_usec, end_usec, latest_usec;
} Window;

/* Of one slice, for the record. */
typedef struct Totals {
        int64_t windows, fills, changed;
} Totals;

/* Of all slices, for the display of progress. */
typedef struct Kept {
        uint64_t windows;
} Kept;

static void window_done(Window *w) {
        PQclear(w->row);
        *w = (Window){ 0 };
}

static int64_t int_of(const PGresult *result, int column) {
        return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

/* As the original: of the instant at which the window is read, in seconds. */
static void report_lag(TaskContext *ctx, const Accumulation *a, const Window *w) {
        _cleanup_free_ char *name = str_printf("persistent_cache_%s_lag_seconds", a->key);
        int64_t now_msec = (int64_t) (clock_realtime_usec() / USEC_PER_MSEC), start_msec = w->start_usec / 1000;

        if (name)
                task_gauge(ctx, name, (double) (now_msec - start_msec) / 1000, &(MetricTag){ "cache", a->key }, 1);
}

static int read_window(TaskContext *ctx, const Accumulation *a, Window *ret, Error *reterr) {
        uint64_t longest = settings_duration_usec(task_settings(ctx), "compliance.accumulation.max_window");
        const char *params[] = { a->key, a->default_start, NULL };
        char longest_text[48];
        Window w = { 0 };
        int r;

        (void) snprintf(longest_text, sizeof(longest_text), "%llu microseconds", (unsigned long long) longest);
        params[2] = longest_text;
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_lock, 1, &a->key, NULL, reterr);
        if (r >= 0)
                r = task_query(ctx, PG_PRIMARY, &sql_compliance_read_window, ELEMENTSOF(params), params, &w.row,
                               reterr);
        if (r < 0)
                return error_prefix(reterr, "persistent_cache %s", a->key);
        w.value = PQgetisnull(w.row, 0, VALUE) ? NULL : PQgetvalue(w.row, 0, VALUE);
        if (PQgetisnull(w.row, 0, START)) {
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "persistent_cache %s is \"%s\", which is no time", a->key,
                              w.value);
                error_set_hint(reterr, "set it to the instant up to which fills have been counted, as "
                                       "2026-01-10T00:00:45.250+00:00");
        } else if (PQgetisnull(w.row, 0, LATEST)) {
                r = error_set(reterr, ERROR_RETRY, -ENODATA,
                              "table blocks is empty: it is not known up to when fills "
                              "are complete");
                error_set_hint(reterr, "is the indexer running?");
        }
        if (r < 0) {
                window_done(&w);
                return r;
        }
        w.start = PQgetvalue(w.row, 0, START);
        w.advances = str_eq(PQgetvalue(w.row, 0, ADVANCES), "t");
        /* a latest block before the checkpoint never takes it back */
        w.end = w.advances ? PQgetvalue(w.row, 0, END) : w.start;
        w.start_usec = int_of(w.row, START_USEC);
        w.end_usec = int_of(w.row, END_USEC);
        w.latest_usec = int_of(w.row, LATEST_USEC);
        *ret = w;
        return 0;
}

/* Says which fill it was, after the transaction was rolled back. Best effort: e keeps its own text. */
static void name_bad_fill(TaskContext *ctx, const Accumulation *a, const Window *w, Error *e) {
        _cleanup_pg_result_ PGresult *found = NULL;

        if (task_query(ctx, PG_PRIMARY, a->find_bad, 2, (const char *const[]){ w->start, w->end }, &found, NULL) < 0 ||
            PQntuples(found) == 0)
                return;
        error_set_hint(e, "fill %s has %s; nothing is counted until it is mended", PQgetvalue(found, 0, 0),
                       PQgetvalue(found, 0, 1));
}

static int add_fills(TaskContext *ctx, const Accumulation *a, Window *w, Totals *totals, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, a->add, 2, (const char *const[]){ w->start, w->end }, &result, reterr);
        if (r < 0) {
                /* class 22: a value that cannot be read or computed with */
                w->bad = reterr->kind == ERROR_NEVER && strncmp(reterr->sqlstate, "22", 2) == 0;
                return r;
        }
        w->bad = str_eq(PQgetvalue(result, 0, BAD), "t");
        if (w->bad)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "%s: a sum of fills after %s and up to %s is no number",
                                 a->add->name, w->start, w->end);
        totals->fills += int_of(result, FILLS);
        totals->changed += int_of(result, CHANGED);
        return 0;
}

static int move_checkpoint(TaskContext *ctx, const Accumulation *a, const Window *w, Error *reterr) {
        const char *params[] = { a->key, PQgetvalue(w->row, 0, TO_TEXT), w->value };
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_compliance_write_checkpoint, ELEMENTSOF(params), params, &result, reterr);
        if (r < 0 || str_eq(PQcmdTuples(result), "1"))
                return r;
        r = error_set(reterr, ERROR_RETRY, -EBUSY, "persistent_cache %s was moved by another service meanwhile",
                      a->key);
        error_set_hint(reterr, "switch the task off in the original service: the two would count fills twice");
        return r;
}

/* Within a transaction. */
static int add_window(TaskContext *ctx, const Accumulation *a, Window *w, Totals *totals, Error *reterr) {
        int r;

        r = read_window(ctx, a, w, reterr);
        if (r < 0)
                return r;
        report_lag(ctx, a, w);
        if (!w->value)
                task_log(ctx, LOG_LEVEL_INFO, a->at, NULL, 0,
                         "No previous %s found in persistent cache table. Will use default value: %s", a->key,
                         a->default_start);
        if (!w->advances && !a->refresh)
                return 0;
        task_log(ctx, LOG_LEVEL_DEBUG, a->at, NULL, 0, "%s from %s to %s", a->updating,
                 PQgetvalue(w->row, 0, FROM_TEXT), PQgetvalue(w->row, 0, w->advances ? TO_TEXT : FROM_TEXT));
        r = add_fills(ctx, a, w, totals, reterr);
        return r < 0 || !w->advances ? r : move_checkpoint(ctx, a, w, reterr);
}

static int run_transaction(TaskContext *ctx, const Accumulation *a, Window *w, Totals *totals, Error *reterr) {
        uint64_t start = clock_monotonic_usec();
        int r;

        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = add_window(ctx, a, w, totals, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r < 0) {
                task_rollback(ctx);
                if (w->bad)
                        name_bad_fill(ctx, a, w, reterr);
                return r;
        }
        totals->windows += w->advances;
        if (a->txn_timing)
                task_timing(ctx, a->txn_timing, (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
        return 0;
}

/* Windows that are left behind this one; a rest counts as one. */
static uint64_t windows_left(TaskContext *ctx, const Window *w) {
        int64_t longest = (int64_t) settings_duration_usec(task_settings(ctx), "compliance.accumulation.max_window");
        /* what is beyond the last full millisecond waits for the next run */
        int64_t left = w->latest_usec / 1000 * 1000 - w->end_usec;

        return !w->advances || left <= 0 ? 0 : (uint64_t) ((left + longest - 1) / longest);
}

/* Progress is worth while only for a backlog. Without memory for it there is none to see, that is all. */
static void report_progress(TaskContext *ctx, const Totals *totals, uint64_t left) {
        Kept *kept = task_kept(ctx);
        uint64_t done = (kept ? kept->windows : 0) + (uint64_t) totals->windows;

        if (left > 0 || done > 1)
                task_progress(ctx, done, done + left, "windows");
}

static void keep_progress(TaskContext *ctx, const Totals *totals) {
        Kept *kept = task_kept(ctx);

        if (!kept) {
                kept = calloc(1, sizeof(*kept));
                if (!kept)
                        return;
                task_keep(ctx, kept, free);
        }
        kept->windows += (uint64_t) totals->windows;
}

int accumulation_run(TaskContext *ctx, const Accumulation *a) {
        uint64_t slice = settings_duration_usec(task_settings(ctx), "compliance.slice"),
                 slice_end = clock_monotonic_usec() + (task_is_dry_run(ctx) ? 0 : slice), left;
        _cleanup_error_ Error e = ERROR_INIT;
        Totals totals = { 0 };
        int r;

        do {
                Window w = { 0 };

                r = run_transaction(ctx, a, &w, &totals, &e);
                left = r < 0 ? 0 : windows_left(ctx, &w);
                window_done(&w);
                report_progress(ctx, &totals, left);
        } while (left > 0 && clock_monotonic_usec() < slice_end);
        keep_progress(ctx, &totals);
        task_field_int(ctx, "windows", totals.windows);
        task_field_int(ctx, "fills", totals.fills);
        task_field_int(ctx, "changed_rows", totals.changed);
        if (r >= 0)
                return left > 0 ? TASK_MORE : 0;
        task_log(ctx, LOG_LEVEL_ERROR, a->at,
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)),
                                     LOG_STRING("HINT", "hint", e.hint) },
                 2, "%s", a->failed);
        return task_fail(ctx, &e);
}
