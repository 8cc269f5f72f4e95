/* One worker's life: started, heard, watched, buried, started again.
 *
 * Every way out of a process goes through on_child(); every wait has a timer, and there is one timer whose meaning
 * follows from the state. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/message_ids.h"
#include "supervisor/backoff.h"
#include "supervisor/start_delay.h"
#include "supervisor/supervisor.h"
#include "workers/worker_protocol.h"

#define AT "supervisor#worker"

static void worker_log(const WorkerProcess *w, LogLevel level, const char *message_id, const char *format, ...)
        _printf_(4, 5);

static void worker_log(const WorkerProcess *w, LogLevel level, const char *message_id, const char *format, ...) {
        LogField fields[] = { LOG_STRING("FAMILY", "family", w->manifest->name),
                              LOG_STRING("WORKER", "worker", w->manifest->name),
                              LOG_INT("WORKER_PID", "workerPid", w->pid), LOG_STRING("TASK", "task", w->culprit) };
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        log_write(level, message_id, AT, fields, ELEMENTSOF(fields), text ? text : "out of memory");
}

const char *worker_state_to_string(WorkerState state) {
        static const char *const names[] = {
                [WORKER_DISABLED] = "disabled",
                [WORKER_STARTING] = "starting",
                [WORKER_READY] = "running",
                [WORKER_DRAINING] = "draining",
                [WORKER_KILLING] = "being killed",
                [WORKER_WAITING] = "waiting to restart",
                [WORKER_REFUSED] = "refused its settings",
                [WORKER_OWN_UNIT] = "run by its own unit",
        };
        return names[state];
}

static void worker_set_timer(WorkerProcess *w, uint64_t usec) {
        if (usec == USEC_INFINITY)
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        else {
                (void) sd_event_source_set_time_relative(w->timer, usec);
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
        }
}

static void worker_set_state(WorkerProcess *w, WorkerState state, uint64_t timer_usec) {
        w->state = state;
        worker_set_timer(w, timer_usec);
        if (state != WORKER_READY)
                (void) sd_event_source_set_enabled(w->watchdog, SD_EVENT_OFF);
}

static void worker_signal(WorkerProcess *w, int signal) {
        /* By the pidfd of the child source: never another process that got the pid. */
        if (w->child)
                (void) sd_event_source_send_child_signal(w->child, signal, NULL, 0);
}

static void replace_text(char **target, const char *text) {
        free(*target);
        *target = str_empty(text) ? NULL : strdup(text);
}

static void worker_forget_process(WorkerProcess *w) {
        sd_event_source_disable_unref(TAKE_PTR(w->child));
        sd_event_source_disable_unref(TAKE_PTR(w->handover));
        w->handover_fd = close_fd(w->handover_fd);
        json_decref(TAKE_PTR(w->hello));
        json_decref(TAKE_PTR(w->dead_instances));
        replace_text(&w->status, NULL);
        replace_text(&w->running, NULL);
        replace_text(&w->culprit, NULL);
        replace_text(&w->health, NULL);
        w->pid = 0;
        w->hung = false;
        w->ready_usec = 0;
}

static void worker_wait(WorkerProcess *w) {
        uint64_t first = supervisor_tunable_usec("BACKOFF_FIRST", BACKOFF_FIRST_USEC);
        uint64_t delay = backoff_delay_usec(w->step, random_fraction()) * first / BACKOFF_FIRST_USEC;
        char text[64];

        if (delay > 0)
                worker_log(w, LOG_LEVEL_INFO, NULL, "Worker %s is started again in %s", w->manifest->name,
                           format_duration(delay, text, sizeof text));
        w->step++;
        w->next_start_usec = clock_realtime_usec() + delay;
        worker_set_state(w, WORKER_WAITING, delay);
}

bool worker_process_enabled(const WorkerProcess *w) {
        const char *const *f = w->supervisor->families;

        for (; f && *f; f++)
                if (str_eq(*f, w->manifest->name))
                        break;
        if (w->supervisor->families && !*f)
                return false;
        return settings_worker_bool(w->supervisor->settings, w->manifest->name, "worker.enabled");
}

bool worker_process_settled(const WorkerProcess *w) {
        switch (w->state) {
        case WORKER_DISABLED:
        case WORKER_READY:
        case WORKER_REFUSED:
        case WORKER_OWN_UNIT:
                return true;
        default:
                return w->failed_starts >= WORKER_FAILED_STARTS_GIVEN_UP;
        }
}

/* A hello that is not what workers/worker_protocol.h says ends the worker: most likely it is of another version. */
static int on_handover(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        WorkerProcess *w = userdata;
        _cleanup_error_ Error e = ERROR_INIT;
        char packet[4096];
        ssize_t n = recv(fd, packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);
        json_t *hello = n > 0 && n <= (ssize_t) sizeof packet ? json_loadb(packet, (size_t) n, 0, NULL) : NULL;
        int r = 0;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0) {
                if (!hello || json_integer_value(json_object_get(hello, "protocol")) != WORKER_PROTOCOL ||
                    !str_eq(json_string_value(json_object_get(hello, "family")), w->manifest->name) ||
                    json_integer_value(json_object_get(hello, "pid")) != w->pid)
                        r = error_set(&e, ERROR_NEVER, -EPROTO, "its hello is not of protocol %d (another version?)",
                                      WORKER_PROTOCOL);
                else
                        r = worker_handover_send(w, &e);
        }
        /* n == 0: the worker closed its end, its death or the READY time-out tells the rest. */
        sd_event_source_disable_unref(TAKE_PTR(w->handover));
        w->handover_fd = close_fd(w->handover_fd);
        if (r < 0) {
                worker_log(w, LOG_LEVEL_ERROR, NULL, "Worker %s was not given its settings: %s", w->manifest->name,
                           error_text(&e));
                json_decref(hello);
                worker_set_state(w, WORKER_KILLING, USEC_INFINITY);
                worker_signal(w, SIGKILL);
        } else
                w->hello = hello;
        return 0;
}

static const char *describe_exit(const siginfo_t *si, bool hung, char *buffer, size_t size) {
        if (hung)
                (void) snprintf(buffer, size, "did not answer its watchdog");
        else if (si->si_code == CLD_EXITED)
                (void) snprintf(buffer, size, "exited with code %d", si->si_status);
        else
                (void) snprintf(buffer, size, "was killed by SIG%s",
                                sigabbrev_np(si->si_status) ? sigabbrev_np(si->si_status) : "?");
        return buffer;
}

static void worker_count_death(WorkerProcess *w, const siginfo_t *si, const char *what) {
        uint64_t kills = cgroup_oom_kills(w), cooldown;
        bool oom = kills > w->oom_kills;
        const char *named;

        w->oom_kills = kills;
        if (!quarantine_counts(si->si_code == CLD_EXITED ? 0 : si->si_status, w->hung, oom))
                return;
        cooldown = settings_duration_usec(w->supervisor->settings, "supervisor.quarantine_cooldown");
        named = quarantine_death(&w->quarantine, w->running, w->culprit, oom ? "its worker ran out of memory" : what,
                                 cooldown, clock_realtime_usec());
        if (named) {
                char text[64];

                replace_text(&w->culprit, named);
                worker_log(w, LOG_LEVEL_ERROR, MESSAGE_TASK_QUARANTINED,
                           "Task %s is held on this host for %s: its worker died of it %d times, it last %s", named,
                           format_duration(cooldown, text, sizeof text), QUARANTINE_DEATHS, what);
        } else if (w->quarantine.serial)
                worker_log(w, LOG_LEVEL_WARNING, NULL,
                           "Worker %s runs one task at a time until the faulty one is known", w->manifest->name);
}

static void worker_ended_in_order(WorkerProcess *w) {
        bool again = w->start_again && !w->supervisor->stopping && worker_process_enabled(w);

        worker_forget_process(w);
        w->start_again = false;
        w->step = 0;
        w->failed_starts = 0;
        if (again)
                worker_process_start(w);
        else
                worker_set_state(w, WORKER_DISABLED, USEC_INFINITY);
}

/* One that was told to stop before it was ready may have found at that moment that it cannot be. That was about the old
 * settings, and a stop is a stop. */
static bool worker_drained(const WorkerProcess *w, const siginfo_t *si) {
        if (w->state != WORKER_DRAINING || si->si_code != CLD_EXITED)
                return false;
        return si->si_status == 0 ||
               (w->ready_usec == 0 && (si->si_status == EXIT_CODE_TRY_AGAIN || si->si_status == EXIT_CODE_CONFIG));
}

static int on_child(sd_event_source *source _unused_, const siginfo_t *si, void *userdata) {
        WorkerProcess *w = userdata;
        Supervisor *s = w->supervisor;
        bool exited = si->si_code == CLD_EXITED;
        char what[64];

        describe_exit(si, w->hung, what, sizeof what);
        replace_text(&w->last_exit, what);
        if (worker_drained(w, si))
                worker_ended_in_order(w);
        else {
                if (w->ready_usec == 0)
                        w->failed_starts++;
                else if (clock_monotonic_usec() - w->ready_usec >=
                         supervisor_tunable_usec("HEALTHY", WORKER_HEALTHY_USEC))
                        w->step = 0;
                /* A start that failed is never repeated at once. */
                if (w->ready_usec == 0 && w->step == 0)
                        w->step = 1;
                if (exited && si->si_status == EXIT_CODE_TRY_AGAIN) {
                        worker_log(w, LOG_LEVEL_NOTICE, NULL, "Family %s is run by a unit of its own",
                                   w->manifest->name);
                        w->failed_starts = 0;
                        worker_forget_process(w);
                        worker_set_state(w, WORKER_OWN_UNIT,
                                         supervisor_tunable_usec("OWN_UNIT", WORKER_OWN_UNIT_RETRY_USEC));
                } else if (exited && si->si_status == EXIT_CODE_CONFIG) {
                        worker_log(w, LOG_LEVEL_ERROR, MESSAGE_WORKER_GIVEN_UP,
                                   "Worker %s refused its settings and is not started before the next reload",
                                   w->manifest->name);
                        worker_forget_process(w);
                        worker_set_state(w, WORKER_REFUSED, USEC_INFINITY);
                } else {
                        worker_log(w, LOG_LEVEL_ERROR, MESSAGE_WORKER_DIED, "Worker %s %s%s%s", w->manifest->name, what,
                                   w->running ? " while it ran " : "", w->running ? w->running : "");
                        worker_count_death(w, si, what);
                        if (w->failed_starts == WORKER_FAILED_STARTS_GIVEN_UP)
                                worker_log(w, LOG_LEVEL_ERROR, MESSAGE_WORKER_GIVEN_UP,
                                           "Worker %s failed to start %u times; it is tried again ever more rarely",
                                           w->manifest->name, w->failed_starts);
                        worker_forget_process(w);
                        if (s->stopping || !worker_process_enabled(w))
                                worker_set_state(w, WORKER_DISABLED, USEC_INFINITY);
                        else
                                worker_wait(w);
                }
                w->start_again = false;
        }
        supervisor_workers_changed(s);
        return 0;
}

static void worker_hang(WorkerProcess *w) {
        const char *blamed = w->culprit ? w->culprit : w->running;

        if (w->hung)
                return;
        w->hung = true;
        worker_log(w, LOG_LEVEL_ERROR, MESSAGE_WORKER_HUNG,
                   "Worker %s does not answer its watchdog and is replaced%s%s", w->manifest->name,
                   blamed ? "; it ran " : "", blamed ? blamed : "");
        worker_set_state(w, WORKER_KILLING, WORKER_KILL_DELAY_USEC);
        worker_signal(w, SIGABRT);
        /* A stopped process dies of SIGABRT only when it goes on. */
        worker_signal(w, SIGCONT);
}

static int on_watchdog(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        WorkerProcess *w = userdata;

        if (w->state == WORKER_READY) {
                worker_hang(w);
                supervisor_workers_changed(w->supervisor);
        }
        return 0;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        WorkerProcess *w = userdata;

        switch (w->state) {
        case WORKER_STARTING:
                worker_log(w, LOG_LEVEL_ERROR, NULL, "Worker %s was not ready in time and is killed",
                           w->manifest->name);
                worker_set_state(w, WORKER_KILLING, USEC_INFINITY);
                worker_signal(w, SIGKILL);
                break;
        case WORKER_DRAINING:
                worker_log(w, LOG_LEVEL_ERROR, NULL, "Worker %s did not stop in time and is killed", w->manifest->name);
                worker_signal(w, SIGKILL);
                break;
        case WORKER_KILLING:
                worker_signal(w, SIGKILL);
                break;
        case WORKER_WAITING:
        case WORKER_OWN_UNIT:
                w->restarts += w->state == WORKER_WAITING;
                worker_process_start(w);
                break;
        default:
                break;
        }
        supervisor_workers_changed(w->supervisor);
        return 0;
}

static int worker_try_start(WorkerProcess *w, Error *reterr) {
        Supervisor *s = w->supervisor;
        pid_t pid;
        int r;

        json_decref(w->settings);
        w->settings = settings_to_worker_json(s->settings, w->manifest);
        if (!w->settings)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        quarantine_expire(&w->quarantine, settings_duration_usec(s->settings, "supervisor.quarantine_cooldown"),
                          clock_realtime_usec());
        w->watchdog_usec = settings_worker_duration_usec(s->settings, w->manifest->name, "worker.watchdog");
        r = instances_next(&s->instances, w->manifest->name, w->instance, &w->dead_instances, reterr);
        if (r < 0)
                return r;
        pid = worker_spawn(w, &w->handover_fd, reterr);
        if (pid < 0)
                return (int) pid;
        w->pid = pid;
        r = sd_event_add_child(s->event, &w->child, pid, WEXITED, on_child, w);
        if (r < 0) {
                /* Nobody would ever see it die. */
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return error_set(reterr, ERROR_RETRY, r, "cannot watch a worker process");
        }
        r = sd_event_add_io(s->event, &w->handover, w->handover_fd, EPOLLIN, on_handover, w);
        if (r >= 0)
                r = sd_event_source_set_priority(w->handover, PRIORITY_HANDOVER);
        if (r < 0) {
                worker_signal(w, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return error_set(reterr, ERROR_RETRY, r, "cannot watch a worker's socket");
        }
        return 0;
}

void worker_process_start(WorkerProcess *w) {
        _cleanup_error_ Error e = ERROR_INIT;

        w->started_usec = clock_realtime_usec();
        w->next_start_usec = 0;
        if (worker_try_start(w, &e) < 0) {
                worker_log(w, LOG_LEVEL_ERROR, NULL, "Worker %s cannot be started: %s", w->manifest->name,
                           error_text(&e));
                replace_text(&w->last_exit, error_text(&e));
                worker_forget_process(w);
                w->failed_starts++;
                w->step += w->step == 0;
                worker_wait(w);
                return;
        }
        worker_set_state(w, WORKER_STARTING, supervisor_tunable_usec("READY_TIMEOUT", WORKER_READY_TIMEOUT_USEC));
}

void worker_process_stop(WorkerProcess *w, bool start_again) {
        uint64_t limit = settings_duration_usec(w->supervisor->settings, "supervisor.stop_timeout") + 10 * USEC_PER_SEC;

        w->start_again = start_again;
        if (w->pid == 0) {
                if (start_again)
                        worker_process_start(w);
                else
                        worker_set_state(w, WORKER_DISABLED, USEC_INFINITY);
                return;
        }
        if (w->state == WORKER_DRAINING || w->state == WORKER_KILLING)
                return;
        worker_set_state(w, WORKER_DRAINING, limit);
        worker_signal(w, SIGTERM);
}

void worker_process_kill(WorkerProcess *w) {
        worker_signal(w, SIGKILL);
}

/* "task=N,…": what is left of the start delays, as the worker knows it. */
static void worker_take_delays(WorkerProcess *w, const char *due) {
        _cleanup_free_ char *copy = strdup(due);
        uint64_t now = clock_monotonic_usec();
        char *rest = copy;

        for (char *item; copy && (item = strsep(&rest, ","));) {
                uint64_t left;
                size_t length;

                if (!start_delay_parse_due(item, &length, &left))
                        continue;
                for (size_t i = 0; i < w->n_delays; i++)
                        /* It only shrinks: a worker cannot put a task off for ever. */
                        if (strlen(w->delays[i].task) == length && memcmp(w->delays[i].task, item, length) == 0 &&
                            left < start_delay_left_usec(w->delays[i].due_usec, now))
                                w->delays[i].due_usec = now + left;
        }
}

void worker_process_notified(WorkerProcess *w, const NotifyMessage *m) {
        bool changed = false;

        if (m->status)
                replace_text(&w->status, m->status);
        if (m->running)
                replace_text(&w->running, m->running);
        if (m->culprit)
                replace_text(&w->culprit, m->culprit);
        if (m->health) {
                replace_text(&w->health, m->health);
                changed = true;
        }
        if (m->due)
                worker_take_delays(w, m->due);
        if (m->ready && w->state == WORKER_STARTING) {
                w->ready_usec = clock_monotonic_usec();
                w->failed_starts = 0;
                worker_set_state(w, WORKER_READY, USEC_INFINITY);
                worker_log(w, LOG_LEVEL_INFO, MESSAGE_WORKER_READY, "Worker %s is ready", w->manifest->name);
                changed = true;
        }
        if ((m->watchdog || m->ready) && w->state == WORKER_READY && w->watchdog_usec > 0) {
                (void) sd_event_source_set_time_relative(w->watchdog, w->watchdog_usec);
                (void) sd_event_source_set_enabled(w->watchdog, SD_EVENT_ONESHOT);
        }
        if (m->watchdog_trigger && (w->state == WORKER_READY || w->state == WORKER_DRAINING)) {
                worker_hang(w);
                changed = true;
        }
        if (changed)
                supervisor_workers_changed(w->supervisor);
}

int worker_process_init(WorkerProcess *w, Supervisor *s, const FamilyManifest *manifest) {
        const Settings *settings = s->settings;
        uint64_t now = clock_monotonic_usec();
        size_t n = 0;
        int r;

        *w = (WorkerProcess){ .supervisor = s, .manifest = manifest, .state = WORKER_DISABLED, .handover_fd = -EBADF };
        while (manifest->tasks[n].name)
                n++;
        w->delays = calloc(n + 1, sizeof *w->delays);
        if (!w->delays)
                return -ENOMEM;
        w->n_delays = n;
        for (size_t i = 0; i < n; i++) {
                const char *task = manifest->tasks[i].name;

                w->delays[i].task = task;
                w->delays[i].due_usec =
                        now +
                        start_delay_draw_usec(settings_bool(settings, "start_delay.enabled"),
                                              settings_duration_usec(settings, "start_delay.max"),
                                              settings_number(settings, "start_delay.fraction"),
                                              settings_task_duration_usec(settings, manifest->name, task, "interval"),
                                              random_fraction());
        }
        r = sd_event_add_time(s->event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(s->event, &w->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->watchdog, SD_EVENT_OFF);
        return r;
}

void worker_process_done(WorkerProcess *w) {
        worker_process_kill(w);
        worker_forget_process(w);
        sd_event_source_disable_unref(w->timer);
        sd_event_source_disable_unref(w->watchdog);
        quarantine_done(&w->quarantine);
        json_decref(w->settings);
        free(w->delays);
        free(w->last_exit);
}
