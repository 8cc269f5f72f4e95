/* Runs: what the scheduler wants done, what the coordinator and the executors answer. */

#include <assert.h>

#include "common/clock.h"
#include "common/message_ids.h"
#include "workers/bindings.h"
#include "workers/worker_internal.h"

/* For the lock (common/lock.h): R goes too. */
#define RESULT_ABANDONED "abandoned"

/* A long run tells the journal this often how far it is. */
#define PROGRESS_USEC (60 * USEC_PER_SEC)

/* On an executor thread. A chain of slices is one run, but each slice has a context of its own: between two of them the
 * run holds neither connections nor a thread. */
static void run_body(ExecutorJob *job, unsigned slot) {
        WorkerTask *t = (WorkerTask *) ((char *) job - offsetof(WorkerTask, job));
        Worker *w = t->worker;
        TaskOptions options = {
                .task = t->spec->name,
                .run_id = t->record.run_id,
                .now_usec = t->record.started_usec,
                .max_run_usec = t->max_run_usec,
                .kept = &t->kept,
        };
        TaskContext *ctx = NULL;
        int r;

        r = task_context_new(&w->services, &options, &w->connections[slot], t->token, &ctx);
        if (r < 0) {
                t->returned = error_set(&t->record.error, ERROR_RETRY, r, "cannot set up the run: %s", strerror(-r));
                return;
        }
        t->returned = t->run(ctx);
        run_record_add_slice(&t->record, ctx);
        if (t->returned < 0 && t->record.error.err == 0)
                (void) error_set(&t->record.error, ERROR_RETRY, t->returned, "%s", strerror(-t->returned));
        (void) task_context_free(ctx);
}

static void log_progress(const WorkerTask *t, const Progress *p, uint64_t now) {
        uint64_t realtime = clock_realtime_usec(), left = progress_left_usec(p, now);
        char text[PROGRESS_TEXT_SIZE], end[ISO_TIME_SIZE];
        const LogField fields[] = {
                LOG_STRING("TASK", "taskName", t->spec->name),
                LOG_STRING("RUN_ID", "runId", t->record.run_id),
                LOG_INT("DONE", "done", (int64_t) p->done),
                LOG_INT("TOTAL", "total", (int64_t) p->total),
                LOG_INT("RATE_MILLI", "rateMilli", (int64_t) (progress_rate(p) * 1000)),
                LOG_STRING("EXPECTED_END", "expectedEnd",
                           left == USEC_INFINITY ? NULL : format_iso_msec(realtime + left, end)),
        };
        _cleanup_free_ char *message = str_printf("%s: %s", t->spec->name, progress_format(p, now, realtime, text));

        log_write(LOG_LEVEL_INFO, MESSAGE_TASK_PROGRESS, "worker#progress", fields, ELEMENTSOF(fields),
                  message ?: t->spec->name);
}

/* On an executor thread. */
static void on_progress(const char *task, uint64_t done, uint64_t total, const char *unit, void *userdata) {
        uint64_t now = clock_monotonic_usec();
        Worker *w = userdata;

        for (size_t i = 0; i < w->n_tasks; i++) {
                WorkerTask *t = &w->tasks[i];
                Progress p;

                if (!str_eq(t->spec->name, task))
                        continue;
                (void) pthread_mutex_lock(&w->mutex);
                progress_report(&t->progress, done, total, unit, now);
                p = t->progress;
                (void) pthread_mutex_unlock(&w->mutex);
                if (now - (t->progress_told_usec > p.first_usec ? t->progress_told_usec : p.first_usec) <
                    w->progress_usec)
                        continue;
                t->progress_told_usec = now;
                log_progress(t, &p, now);
        }
}

static bool may_commit(const char *task, void *userdata) {
        Worker *w = userdata;

        for (size_t i = 0; i < w->n_tasks; i++)
                if (str_eq(w->tasks[i].spec->name, task))
                        return coordinator_may_commit(w->coordinator, i);
        return false;
}

static int task_new(Worker *w, size_t i, Error *reterr) {
        const TaskSpec *spec = &w->start->manifest->tasks[i];
        WorkerTask *t = &w->tasks[i];
        int r;

        *t = (WorkerTask){
                .worker = w,
                .spec = spec,
                .index = i,
                .enabled = settings_task_bool(w->start->settings, w->family, spec->name, "enabled"),
                .class = str_eq(settings_task_string(w->start->settings, w->family, spec->name, "class"), "long")
                                 ? TASK_LONG
                                 : TASK_SHORT,
                .interval_usec = settings_task_duration_usec(w->start->settings, w->family, spec->name, "interval"),
                .max_run_usec = settings_task_duration_usec(w->start->settings, w->family, spec->name, "max_run"),
                .run = task_binding_find(w->family, spec->name),
                .job = { .task = spec->name, .body = run_body },
        };
        if (!t->run)
                return error_set(reterr, ERROR_NEVER, -ENOSYS, "task %s has no function in this build", spec->name);
        r = cancel_token_new(&t->token);
        return r < 0 ? error_set(reterr, ERROR_RETRY, r, "cannot make a cancel token: %s", strerror(-r)) : 0;
}

static double random_number(void *userdata _unused_) {
        return random_fraction();
}

static int make_scheduler(Worker *w, Error *reterr) {
        _cleanup_free_ SchedulerTask *tasks = calloc(w->n_tasks + 1, sizeof *tasks);
        uint64_t now = clock_monotonic_usec(), realtime = clock_realtime_usec();
        SchedulerOptions options = {
                .slots = w->slots,
                .jitter_fraction = settings_number(w->start->settings, "jitter_fraction"),
                .random = random_number,
                .tasks = tasks,
                .n_tasks = w->n_tasks,
                .now_usec = now,
        };

        for (size_t i = 0; tasks && i < w->n_tasks; i++) {
                const WorkerStartTask *s = &w->start->tasks[i];

                tasks[i] = (SchedulerTask){
                        .name = w->start->manifest->tasks[i].name,
                        .class = w->tasks[i].class,
                        .enabled = w->tasks[i].enabled,
                        .start_delay_usec = s->start_delay_usec,
                        .quarantined_until_usec =
                                s->quarantined_until_usec > realtime ? now + (s->quarantined_until_usec - realtime) : 0,
                };
        }
        if (!tasks || scheduler_new(&options, &w->scheduler) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        return 0;
}

static int make_coordinator(Worker *w, Error *reterr) {
        const Settings *s = w->start->settings;
        _cleanup_free_ LockTask *tasks = calloc(w->n_tasks + 1, sizeof *tasks);
        CoordinatorOptions options = {
                .redis_url = settings_string(s, "redis.url"),
                .identity = { .service = settings_string(s, "service_name"),
                              .host = w->start->host,
                              .worker = w->family,
                              .instance = w->start->instance },
                .tasks = tasks,
                .n_tasks = w->n_tasks,
                .dead_instances = (const char *const *) w->start->dead_instances,
                .n_dead = w->start->n_dead,
                .reconnect_delay_usec = settings_duration_usec(s, "redis.reconnect_delay"),
                .reconnect_error_threshold = (uint64_t) settings_int(s, "redis.reconnect_error_threshold"),
                .metrics = w->metrics,
        };
        int r = -ENOMEM;

        for (size_t i = 0; tasks && i < w->n_tasks; i++) {
                const char *name = w->tasks[i].spec->name;
                int64_t multiplier = settings_task_int(s, w->family, name, "lock_multiplier");

                tasks[i] =
                        (LockTask){ .task = name,
                                    .interval_usec = w->tasks[i].interval_usec,
                                    .extended_ttl_usec = task_extended_ttl_usec(w->tasks[i].interval_usec, multiplier),
                                    .original_extended = multiplier > 0 };
        }
        if (tasks)
                r = coordinator_new(&options, &w->coordinator);
        return r < 0 ? error_set(reterr, ERROR_NEVER, r, "cannot start the lock coordinator: %s", strerror(-r)) : 0;
}

int worker_tasks_new(Worker *w, Error *reterr) {
        int r;

        w->tasks = calloc(w->start->n_tasks + 1, sizeof *w->tasks);
        if (!w->tasks)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        for (; w->n_tasks < w->start->n_tasks; w->n_tasks++) {
                r = task_new(w, w->n_tasks, reterr);
                if (r < 0)
                        return r;
        }
        w->progress_usec = worker_tunable_usec("PROGRESS", PROGRESS_USEC);
        w->services.may_commit = may_commit;
        w->services.on_progress = on_progress;
        r = make_scheduler(w, reterr);
        return r < 0 ? r : make_coordinator(w, reterr);
}

void worker_tasks_done(Worker *w) {
        for (size_t i = 0; i < w->n_tasks; i++) {
                WorkerTask *t = &w->tasks[i];

                run_record_done(&t->record);
                task_kept_done(&t->kept);
                (void) cancel_token_free(t->token);
                free(t->last_error);
                free(t->paused);
                free(t->obstacle);
        }
        free(w->tasks);
        w->tasks = NULL;
        w->n_tasks = 0;
}

size_t worker_bodies(const Worker *w) {
        size_t n = 0;

        for (size_t i = 0; i < w->n_tasks; i++)
                n += w->tasks[i].in_body;
        return n;
}

static void forget_progress(Worker *w, WorkerTask *t) {
        (void) pthread_mutex_lock(&w->mutex);
        t->progress = (Progress){ 0 };
        (void) pthread_mutex_unlock(&w->mutex);
}

static void do_take(Worker *w, WorkerTask *t, const SchedulerAction *a) {
        unsigned flags = (a->force ? LOCK_IGNORE_R : 0) | (a->ignore_pause ? LOCK_IGNORE_PAUSE : 0);

        cancel_token_reset(t->token);
        (void) random_uuid(t->run_id);
        coordinator_take(w->coordinator, t->index, t->run_id, flags, t->token);
}

static void do_run(Worker *w, WorkerTask *t, bool first) {
        if (first) {
                run_record_begin(&t->record, t->run_id);
                t->has_run = true;
                forget_progress(w, t);
                run_metrics_started(w->metrics, t->spec->name);
        }
        t->in_body = true;
        /* for the watchdog, until the context sets the same on the executor's thread */
        cancel_token_set_deadline(t->token, clock_monotonic_usec() + t->max_run_usec);
        executor_submit(w->executor, &t->job);
}

static RunResult result_of(const WorkerTask *t, bool cancelled) {
        CancelReason reason = cancel_token_reason(t->token);

        if (t->returned == 0)
                return RUN_OK;
        if (t->returned > 0 || cancelled)
                return RUN_CANCELLED; /* stopped between slices */
        return reason == CANCEL_NONE || reason == CANCEL_DEADLINE ? RUN_FAILED : RUN_CANCELLED;
}

static void remember_last(WorkerTask *t) {
        memcpy(t->last_run_id, t->record.run_id, sizeof t->last_run_id);
        t->last_started_usec = t->record.started_usec;
        t->last_duration_usec = t->record.duration_usec;
        t->last_items_failed = t->record.items_failed;
        t->last_result = t->record.result;
        free(t->last_error);
        t->last_error = t->record.error.err != 0 ? strdup(error_text(&t->record.error)) : NULL;
        t->has_last = true;
        t->runs++;
        t->failures += t->record.result == RUN_FAILED;
}

static void do_end(Worker *w, WorkerTask *t, bool cancelled) {
        if (!t->has_run) { /* the lock came when nobody wanted it any more */
                coordinator_end(w->coordinator, t->index, RESULT_ABANDONED);
                return;
        }
        t->record.result = result_of(t, cancelled);
        task_kept_done(&t->kept);
        run_record_finish(&t->record, w->metrics, t->spec->name);
        remember_last(t);
        /* what the stop of this worker cut short is due at once elsewhere, or here after a restart */
        coordinator_end(w->coordinator, t->index,
                        w->draining && t->record.result == RUN_CANCELLED ? RESULT_ABANDONED
                                                                         : run_result_to_string(t->record.result));
}

static void arm_schedule(Worker *w) {
        uint64_t due = scheduler_due_usec(w->scheduler);
        int r = 0;

        if (due != USEC_INFINITY)
                r = sd_event_source_set_time(w->schedule_timer, due);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->schedule_timer,
                                                due == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        assert(r >= 0); /* nothing but a programming error can fail here */
}

void worker_pump(Worker *w) {
        SchedulerAction a;

        while (scheduler_next(w->scheduler, clock_monotonic_usec(), &a)) {
                WorkerTask *t = &w->tasks[a.task];

                switch (a.type) {
                case SCHEDULER_TAKE:
                        do_take(w, t, &a);
                        break;
                case SCHEDULER_ABANDON:
                        coordinator_abandon(w->coordinator, a.task);
                        break;
                case SCHEDULER_RUN:
                        do_run(w, t, a.first);
                        break;
                case SCHEDULER_END:
                        do_end(w, t, a.cancelled);
                        break;
                case SCHEDULER_CAPPED:
                        run_metrics_capped(w->metrics, t->spec->name);
                        break;
                }
        }
        arm_schedule(w);
        worker_watch_tell_delays(w, false);
}

static void on_paused(Worker *w, WorkerTask *t, const char *text) {
        LogField field = LOG_STRING("TASK", "taskName", t->spec->name);
        _cleanup_free_ char *message = NULL;

        scheduler_paused(w->scheduler, t->index);
        if (t->paused && str_eq(t->paused, text ?: ""))
                return;
        free(t->paused);
        t->paused = strdup(text ?: "");
        message = str_printf("task %s is paused: %s", t->spec->name, text ?: "");
        log_write(LOG_LEVEL_NOTICE, MESSAGE_TASK_PAUSED, "worker#paused", &field, 1, message ?: "task is paused");
}

static void on_resumed(Worker *w, WorkerTask *t, uint64_t wait_usec) {
        LogField field = LOG_STRING("TASK", "taskName", t->spec->name);
        _cleanup_free_ char *message = NULL;

        scheduler_resumed(w->scheduler, t->index, wait_usec, clock_monotonic_usec());
        if (!t->paused)
                return;
        free(t->paused);
        t->paused = NULL;
        message = str_printf("task %s is no longer paused", t->spec->name);
        log_write(LOG_LEVEL_NOTICE, MESSAGE_TASK_PAUSED, "worker#paused", &field, 1, message ?: "task is resumed");
}

static void on_lock_lost(Worker *w, WorkerTask *t, const char *text) {
        const LogField fields[] = { LOG_STRING("TASK", "taskName", t->spec->name),
                                    LOG_STRING("RUN_ID", "runId", t->run_id) };
        _cleanup_free_ char *message =
                str_printf("run of %s is cancelled: %s", t->spec->name, text ?: "its lock was lost");
        bool body;

        log_write(LOG_LEVEL_WARNING, MESSAGE_LOCK_LOST, "worker#lock", fields, ELEMENTSOF(fields),
                  message ?: "lock lost");
        cancel_token_cancel(t->token, CANCEL_LOCK);
        (void) scheduler_cancel(w->scheduler, t->index, &body);
}

/* What is in the way of the task and does not go away by itself, told when it comes and goes. The coordinator has told
 * of a key of a wrong type before. Answers for which the lock was not looked at, because of a pause, of the wait behind
 * a FLUSHALL or because the take was given up, say nothing about it. */
static void note_obstacle(WorkerTask *t, const CoordinatorEvent *e) {
        LogField field = LOG_STRING("TASK", "taskName", t->spec->name);
        _cleanup_free_ char *old = NULL, *message = NULL;

        if (e->outcome == LOCK_PAUSED || e->outcome == LOCK_WAIT_EPOCH || e->outcome == LOCK_NOT_ASKED)
                return;
        old = TAKE_PTR(t->obstacle);
        if (e->by_hand)
                t->obstacle = strdup(e->text ?: "");
        if (!old == !t->obstacle || e->outcome == LOCK_BROKEN)
                return;
        message = t->obstacle ? str_printf("task %s cannot run: its lock is held by %s", t->spec->name, t->obstacle)
                              : str_printf("task %s: what was in its way is gone: %s", t->spec->name, old);
        log_write(t->obstacle ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, NULL, "worker#lock", &field, 1,
                  message ?: "out of memory");
}

static void on_event(Worker *w, CoordinatorEvent *e) {
        WorkerTask *t = &w->tasks[e->task < w->n_tasks ? e->task : 0]; /* some events are about no task */
        uint64_t now = clock_monotonic_usec();

        switch (e->type) {
        case COORDINATOR_TAKEN:
                t->has_run = false;
                note_obstacle(t, e);
                scheduler_taken(w->scheduler, e->task);
                break;
        case COORDINATOR_NOT_TAKEN:
                if (e->outcome == LOCK_HELD_E)
                        run_record_not_acquired(w->metrics, t->spec->name);
                note_obstacle(t, e);
                scheduler_not_taken(w->scheduler, e->task, e->wait_usec, e->outcome == LOCK_PAUSED, now);
                break;
        case COORDINATOR_CANCEL:
                on_lock_lost(w, t, e->text);
                break;
        case COORDINATOR_ENDED:
                if (t->has_run)
                        run_metrics_ended(&t->record, w->metrics, t->spec->name, t->interval_usec);
                t->has_run = false;
                scheduler_ended(w->scheduler, e->task, e->wait_usec, now);
                break;
        case COORDINATOR_REDIS_STATE: {
                _cleanup_error_ Error error = ERROR_INIT;

                if (e->text)
                        (void) error_set(&error, ERROR_RETRY, -EIO, "%s", e->text);
                server_states_report(w->servers, SERVER_REDIS, e->text ? &error : NULL);
                break;
        }
        case COORDINATOR_PAUSED:
                on_paused(w, t, e->text);
                break;
        case COORDINATOR_RESUMED:
                on_resumed(w, t, e->wait_usec);
                break;
        case COORDINATOR_DONE:
                worker_control_done(w, e);
                break;
        }
}

void worker_on_coordinator(Worker *w) {
        CoordinatorEvent e = { 0 };

        while (coordinator_next(w->coordinator, &e)) {
                on_event(w, &e);
                coordinator_event_done(&e);
                e = (CoordinatorEvent){ 0 };
        }
        worker_pump(w);
}

void worker_on_executor(Worker *w) {
        ExecutorJob *job;

        while ((job = executor_finished(w->executor))) {
                WorkerTask *t = (WorkerTask *) ((char *) job - offsetof(WorkerTask, job));

                t->in_body = false;
                cancel_token_set_deadline(t->token, USEC_INFINITY);
                scheduler_returned(w->scheduler, t->index, t->returned == TASK_MORE);
        }
        worker_pump(w);
}
