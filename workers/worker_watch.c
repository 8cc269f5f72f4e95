/* The watchdog, by a timer of our own: the ping is withheld when a task's body does not come back. */

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/message_ids.h"
#include "workers/worker_internal.h"
#include "workers/worker_protocol.h"

#define TICK_USEC (5 * USEC_PER_SEC)
#define HUNG_USEC (30 * USEC_PER_SEC) /* past the deadline, by which every wait ends */

uint64_t worker_tunable_usec(const char *name _unused_, uint64_t usec) {
#ifdef ROUNDTABLE_TESTING
        _cleanup_free_ char *variable = str_printf("ROUNDTABLE_TEST_%s_USEC", name);
        const char *value = variable ? getenv(variable) : NULL;

        if (value)
                return strtoull(value, NULL, 10);
#endif
        return usec;
}

/* "task=N,…" of the tasks that still wait for their first run; once more, with none left, when that has changed. */
void worker_watch_tell_delays(Worker *w, bool always) {
        uint64_t now = clock_monotonic_usec();
        _cleanup_buffer_ Buffer b = { 0 };
        bool delayed = false;

        for (size_t i = 0; i < w->n_tasks; i++)
                delayed = delayed || scheduler_state(w->scheduler, i) == TASK_STATE_DELAYED;
        if (!always && delayed == w->delayed_told)
                return;
        w->delayed_told = delayed;
        for (size_t i = 0; i < w->n_tasks; i++) {
                uint64_t due = scheduler_state(w->scheduler, i) == TASK_STATE_DELAYED
                                       ? scheduler_task_due_usec(w->scheduler, i)
                                       : 0;

                (void) buffer_printf(&b, "%s%s=%" PRIu64, b.length > 0 ? "," : NOTIFY_DUE, w->tasks[i].spec->name,
                                     due > now ? due - now : 0);
        }
        if (b.length > 0 && !buffer_failed(&b))
                (void) sd_notify(0, b.data);
}

static const WorkerTask *find_hung(const Worker *w) {
        uint64_t now = clock_monotonic_usec();

        for (size_t i = 0; i < w->n_tasks; i++) {
                const WorkerTask *t = &w->tasks[i];
                uint64_t deadline = t->in_body ? cancel_token_deadline(t->token) : USEC_INFINITY;

                if (deadline != USEC_INFINITY && now > deadline && now - deadline > w->hung_usec)
                        return t;
        }
        return NULL;
}

static void report_hung(Worker *w, const WorkerTask *t) {
        const LogField fields[] = { LOG_STRING("TASK", "taskName", t->spec->name),
                                    LOG_STRING("RUN_ID", "runId", t->record.run_id) };
        _cleanup_free_ char *message =
                str_printf("task %s did not return after its deadline: the worker must be replaced", t->spec->name);

        w->hung = true;
        log_write(LOG_LEVEL_ERROR, MESSAGE_WORKER_HUNG, "worker#watchdog", fields, ELEMENTSOF(fields),
                  message ?: "a task did not return: the worker must be replaced");
        (void) sd_notifyf(0, NOTIFY_CULPRIT "%s", t->spec->name);
        (void) sd_notify(0, "WATCHDOG=trigger");
        if (!w->watchdog)
                _exit(EXIT_CODE_FAILED); /* nobody else would end it; its locks expire by themselves */
}

static int on_tick(sd_event_source *source, uint64_t usec _unused_, void *userdata) {
        Worker *w = userdata;
        const WorkerTask *hung = find_hung(w);
        int r;

        if (hung && !w->hung)
                report_hung(w, hung);
        if (!hung && !w->hung)
                (void) sd_notify(0, "WATCHDOG=1");
        if (w->delayed_told)
                worker_watch_tell_delays(w, true);
        pg_pool_trim(w->postgres);
        r = sd_event_source_set_time(source, clock_monotonic_usec() + w->tick_usec);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int worker_watch_start(Worker *w) {
        uint64_t watchdog = 0;
        int r;

        r = sd_watchdog_enabled(0, &watchdog);
        if (r < 0)
                return r;
        w->watchdog = r > 0;
        w->tick_usec = w->watchdog && watchdog / 4 < TICK_USEC ? watchdog / 4 : TICK_USEC;
        w->hung_usec = worker_tunable_usec("HUNG", HUNG_USEC);
        if (w->hung_usec < w->tick_usec)
                w->tick_usec = w->hung_usec;
        if (w->tick_usec < 10 * USEC_PER_MSEC)
                w->tick_usec = 10 * USEC_PER_MSEC;
        return sd_event_add_time(w->event, &w->tick_timer, CLOCK_MONOTONIC, clock_monotonic_usec(), USEC_PER_MSEC,
                                 on_tick, w);
}
