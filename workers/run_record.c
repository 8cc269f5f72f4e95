/* See run_record.h. */

#include <ctype.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/message_ids.h"
#include "workers/run_record.h"

const char *run_result_to_string(RunResult result) {
        static const char *const names[] = { [RUN_OK] = "ok", [RUN_FAILED] = "failed", [RUN_CANCELLED] = "cancelled" };

        return names[result];
}

void run_record_done(RunRecord *r) {
        for (size_t i = 0; i < r->n_fields; i++)
                free(r->fields[i].name);
        error_done(&r->error);
        *r = (RunRecord){ 0 };
}

void run_record_begin(RunRecord *r, const char *run_id) {
        run_record_done(r);
        (void) snprintf(r->run_id, sizeof r->run_id, "%s", run_id);
        r->started_usec = clock_realtime_usec();
        r->started_monotonic_usec = clock_monotonic_usec();
}

static void add_field(RunRecord *r, const TaskField *f) {
        for (size_t i = 0; i < r->n_fields; i++)
                if (str_eq(r->fields[i].name, f->name)) {
                        r->fields[i].value += f->value;
                        return;
                }
        if (r->n_fields >= RUN_MAX_FIELDS)
                return;
        r->fields[r->n_fields].name = strdup(f->name);
        r->fields[r->n_fields].value = f->value;
        r->n_fields += r->fields[r->n_fields].name != NULL;
}

void run_record_add_slice(RunRecord *r, const TaskContext *ctx) {
        const Error *e = task_context_error(ctx);
        const TaskField *fields;
        size_t n;

        r->slices++;
        r->items_failed += task_context_items_failed(ctx);
        r->round_trips += task_context_round_trips(ctx);
        r->commands += task_context_commands(ctx);
        fields = task_context_fields(ctx, &n);
        for (size_t i = 0; i < n; i++)
                add_field(r, &fields[i]);
        if (e->err == 0)
                return;
        (void) error_set(&r->error, e->kind, e->err, "%s", error_text(e));
        memcpy(r->error.sqlstate, e->sqlstate, sizeof e->sqlstate);
        if (e->hint)
                error_set_hint(&r->error, "%s", e->hint);
}

void run_metrics_started(Metrics *m, const char *task) {
        _cleanup_free_ char *name = str_printf("loops.%s.started", task);

        if (name)
                metrics_gauge(m, name, 1, NULL, 0);
}

static void log_failure(const RunRecord *r, const char *task) {
        const LogField fields[] = {
                LOG_STRING("TASK", "taskName", task),
                LOG_STRING("RUN_ID", "runId", r->run_id),
                LOG_JSON(NULL, "disableGroupingHash", "true"),
        };
        _cleanup_free_ char *at = str_printf("loops-helpers/%s", task);

        log_error_object(LOG_LEVEL_ERROR, NULL, at, &r->error, fields, ELEMENTSOF(fields),
                         "uncaught error in an individual loop");
}

/* The journal takes no other field names. */
static char *journal_name(const char *name) {
        char *s = strdup(name);

        for (char *p = s; p && *p; p++)
                *p = isalnum((unsigned char) *p) ? (char) toupper((unsigned char) *p) : '_';
        return s;
}

static void log_finished(const RunRecord *r, const char *task) {
        LogField fields[8 + RUN_MAX_FIELDS] = {
                LOG_STRING("TASK", "taskName", task),
                LOG_STRING("RUN_ID", "runId", r->run_id),
                LOG_INT("DURATION_USEC", "durationUsec", (int64_t) r->duration_usec),
                LOG_STRING("RESULT", "result", run_result_to_string(r->result)),
                LOG_INT("ITEMS_FAILED", "itemsFailed", (int64_t) r->items_failed),
                LOG_INT("SLICES", "slices", r->slices),
                LOG_INT("ROUND_TRIPS", "roundTrips", (int64_t) r->round_trips),
                LOG_INT("COMMANDS", "commands", (int64_t) r->commands),
        };
        char *names[RUN_MAX_FIELDS] = { NULL };
        char duration[64];
        _cleanup_free_ char *text = str_printf("task finished: %s %s in %s", task, run_result_to_string(r->result),
                                               format_duration(r->duration_usec, duration, sizeof duration));
        size_t n = 8;

        for (size_t i = 0; i < r->n_fields; i++) {
                names[i] = journal_name(r->fields[i].name);
                fields[n++] = LOG_INT(names[i], r->fields[i].name, r->fields[i].value);
        }
        log_write(r->result == RUN_OK ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE, MESSAGE_TASK_FINISHED, "worker#runTask",
                  fields, n, text ?: "task finished");
        for (size_t i = 0; i < r->n_fields; i++)
                free(names[i]);
}

void run_record_finish(RunRecord *r, Metrics *m, const char *task) {
        _cleanup_free_ char *name = str_printf("loops.%s.completed", task);

        r->duration_usec = clock_monotonic_usec() - r->started_monotonic_usec;
        if (name)
                metrics_gauge(m, name, r->result == RUN_OK ? 1 : 0, NULL, 0);
        if (r->result == RUN_FAILED)
                log_failure(r, task);
        log_finished(r, task);
}

void run_metrics_ended(const RunRecord *r, Metrics *m, const char *task, uint64_t interval_usec) {
        uint64_t msec = (clock_monotonic_usec() - r->started_monotonic_usec) / USEC_PER_MSEC;
        const MetricTag tag = { "taskName", task };
        _cleanup_free_ char *name = str_printf("loops.%s.timing", task);

        if (name)
                metrics_timing(m, name, (int64_t) msec, NULL, 0);
        /* a gauge: its explicit rate of 1 is not sent by the original's client */
        metrics_gauge(m, "loops.duration_ratio", (double) msec / ((double) interval_usec / (double) USEC_PER_MSEC),
                      &tag, 1);
}

void run_metrics_capped(Metrics *m, const char *task) {
        metrics_count(m, "loops.exceeded_max_concurrent_tasks", 1, &(MetricTag){ "taskName", task }, 1);
}

void run_record_not_acquired(Metrics *m, const char *task) {
        LogField field = LOG_STRING("TASK", "taskName", task);

        metrics_count(m, "loops.could_not_acquire_extended_lock", 1, &(MetricTag){ "taskName", task }, 1);
        log_write(LOG_LEVEL_ERROR, NULL, "loop-helpers#startLoopAsync/extended-lock", &field, 1,
                  "could not acquire extended lock to run task");
}
