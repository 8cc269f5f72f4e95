/* The document of the verb `status` (worker_protocol.h, 7). */

#include "build_paths.h"
#include "common/clock.h"
#include "workers/worker_internal.h"

/* The scheduler knows two states that last a round trip to Redis; the document does without them. */
static const char *state_text(TaskState state) {
        if (state == TASK_STATE_TAKING)
                return task_state_to_string(TASK_STATE_QUEUED);
        if (state == TASK_STATE_ENDING)
                return task_state_to_string(TASK_STATE_RUNNING);
        return task_state_to_string(state);
}

static json_t *run_to_json(Worker *w, WorkerTask *t) {
        uint64_t now = clock_monotonic_usec(), realtime = clock_realtime_usec(), left;
        char text[PROGRESS_TEXT_SIZE];
        Progress p;

        if (!t->has_run)
                return json_null();
        (void) pthread_mutex_lock(&w->mutex);
        p = t->progress;
        (void) pthread_mutex_unlock(&w->mutex);
        left = progress_left_usec(&p, now);
        return json_pack("{s:s, s:I, s:I, s:I, s:f, s:I, s:s?}", "run_id", t->run_id, "started_usec",
                         (json_int_t) t->record.started_usec, "done", (json_int_t) p.done, "total",
                         (json_int_t) p.total, "rate", progress_rate(&p), "end_usec",
                         (json_int_t) (left == USEC_INFINITY ? 0 : realtime + left), "progress",
                         progress_is_known(&p) ? progress_format(&p, now, realtime, text) : NULL);
}

static json_t *last_to_json(const WorkerTask *t) {
        if (!t->has_last)
                return json_null();
        return json_pack("{s:s, s:I, s:I, s:s, s:s?, s:I}", "run_id", t->last_run_id, "started_usec",
                         (json_int_t) t->last_started_usec, "duration_usec", (json_int_t) t->last_duration_usec,
                         "result", run_result_to_string(t->last_result), "error", t->last_error, "items_failed",
                         (json_int_t) t->last_items_failed);
}

static json_int_t next_usec(const Worker *w, const WorkerTask *t) {
        uint64_t due = scheduler_task_due_usec(w->scheduler, t->index), now = clock_monotonic_usec();

        if (due == 0)
                return 0;
        return (json_int_t) (clock_realtime_usec() + (due > now ? due - now : 0));
}

/* Where a key is broken the fleet's entry is null, and what the look-up of pauses said is all there is. */
static const char *obstacle_of(const WorkerTask *t, const json_t *of_fleet) {
        return t->obstacle || !json_is_null(of_fleet) ? t->obstacle : t->paused;
}

static json_t *task_to_json(Worker *w, WorkerTask *t, const json_t *fleet) {
        json_t *of_fleet = json_object_get(fleet, t->spec->name);

        return json_pack("{s:s, s:b, s:s, s:I, s:s, s:I, s:o, s:o, s:I, s:I, s:s?, s:O?}", "name", t->spec->name,
                         "enabled", (int) t->enabled, "class", t->class == TASK_SHORT ? "short" : "long",
                         "interval_usec", (json_int_t) t->interval_usec, "state",
                         state_text(scheduler_state(w->scheduler, t->index)), "next_usec", next_usec(w, t), "run",
                         run_to_json(w, t), "last", last_to_json(t), "runs", (json_int_t) t->runs, "failures",
                         (json_int_t) t->failures, "obstacle", obstacle_of(t, of_fleet), "fleet", of_fleet);
}

json_t *worker_status_to_json(Worker *w, const json_t *fleet) {
        json_t *tasks = json_array();

        for (size_t i = 0; tasks && i < w->n_tasks; i++)
                if (json_array_append_new(tasks, task_to_json(w, &w->tasks[i], fleet)) < 0) {
                        json_decref(tasks);
                        return NULL;
                }
        return json_pack("{s:{s:s, s:i, s:s, s:s, s:s, s:b, s:o, s:o}}", "worker", "family", w->family, "pid",
                         (int) getpid(), "version", ROUNDTABLE_VERSION, "instance", w->start->instance, "state",
                         w->draining ? "draining" : "running", "serial", (int) w->start->serial, "servers",
                         server_states_to_json(w->servers), "tasks", tasks);
}
