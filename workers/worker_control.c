/* The verbs of a worker's control socket (worker_protocol.h, 7). */

#include <grp.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/message_ids.h"
#include "workers/worker_internal.h"
#include "workers/worker_protocol.h"

/* What the fleet knows is left out of the status when Redis does not tell it in this time: less than the 2 s for which
 * the supervisor waits for a status. */
#define FLEET_USEC USEC_PER_SEC

/* A request whose answer the coordinator has to give. */
struct ControlWait {
        ControlWait *next;
        Worker *worker;
        ControlRequest *request;
        sd_event_source *timer; /* of a status */
        uint64_t serial;
        bool status;
};

static void reply_out_of_memory(ControlRequest *request) {
        control_reply_error(request, EXIT_CODE_FAILED, NULL, "out of memory");
}

static void reply_status(Worker *w, ControlRequest *request, const json_t *fleet) {
        json_t *document = worker_status_to_json(w, fleet);

        if (document)
                control_reply(request, document);
        else
                reply_out_of_memory(request);
}

static ControlWait *wait_new(Worker *w, ControlRequest *request, bool status) {
        ControlWait *wait = malloc(sizeof *wait);

        if (!wait) {
                reply_out_of_memory(request);
                return NULL;
        }
        *wait = (ControlWait){ .next = w->waits, .worker = w, .request = request, .status = status };
        w->waits = wait;
        return wait;
}

static void wait_free(ControlWait *wait) {
        for (ControlWait **p = &wait->worker->waits; *p; p = &(*p)->next)
                if (*p == wait) {
                        *p = wait->next;
                        break;
                }
        sd_event_source_disable_unref(wait->timer);
        free(wait);
}

/* The coordinator's own time-out comes later, or it is busy with a server that does not answer. */
static int on_fleet_late(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        ControlWait *wait = userdata;

        reply_status(wait->worker, wait->request, NULL);
        wait_free(wait);
        return 0;
}

void worker_control_done(Worker *w, const CoordinatorEvent *e) {
        for (ControlWait *wait = w->waits; wait; wait = wait->next) {
                if (wait->serial != e->serial)
                        continue;
                if (wait->status)
                        reply_status(w, wait->request, e->text ? NULL : e->document);
                else if (e->text)
                        control_reply_error(wait->request, EXIT_CODE_FAILED, "it is done through Redis, for all hosts",
                                            "%s", e->text);
                else
                        control_reply(wait->request, NULL);
                wait_free(wait);
                return;
        }
}

static WorkerTask *find_task(Worker *w, const char *name) {
        for (size_t i = 0; name && i < w->n_tasks; i++)
                if (str_eq(w->tasks[i].spec->name, name))
                        return &w->tasks[i];
        return NULL;
}

static WorkerTask *task_of(Worker *w, ControlRequest *request, const json_t *message) {
        const char *name = json_string_value(json_object_get(message, "task"));
        WorkerTask *t = find_task(w, name);

        if (!name)
                control_reply_error(request, EXIT_CODE_USAGE, NULL, "no task is named");
        else if (!t)
                control_reply_error(request, EXIT_CODE_USAGE, "`roundtable list` shows all", "family %s has no task %s",
                                    w->family, name);
        return t;
}

/* A supervisor's request was logged there, with who asked. */
static void log_change(Worker *w, const char *verb, const char *task, const char *who) {
        LogField field = LOG_STRING("TASK", "taskName", task);
        _cleanup_free_ char *text = NULL;

        if (w->start->supervised)
                return;
        text = str_printf("%s%s%s%s%s", verb, task ? " " : "", task ?: "", who ? " by " : "", who ?: "");
        log_write(LOG_LEVEL_NOTICE, MESSAGE_CONTROL_CHANGE, "worker#control", &field, 1, text ?: verb);
}

static void verb_status(Worker *w, ControlRequest *request) {
        ControlWait *wait;

        /* what is known here is not held back by a Redis that is away */
        if (!server_states_ok(w->servers, SERVER_REDIS)) {
                reply_status(w, request, NULL);
                return;
        }
        wait = wait_new(w, request, true);
        if (!wait)
                return;
        if (sd_event_add_time_relative(w->event, &wait->timer, CLOCK_MONOTONIC, FLEET_USEC, 0, on_fleet_late, wait) <
            0) {
                wait_free(wait);
                reply_out_of_memory(request);
                return;
        }
        wait->serial = coordinator_fleet(w->coordinator);
}

static void verb_trigger(Worker *w, ControlRequest *request, const json_t *message) {
        WorkerTask *t = task_of(w, request, message);
        const char *name = t ? t->spec->name : NULL;

        if (!t)
                return;
        switch (scheduler_trigger(w->scheduler, t->index, json_is_true(json_object_get(message, "force")),
                                  clock_monotonic_usec())) {
        case SCHEDULER_OK:
                log_change(w, "trigger", name, NULL);
                worker_pump(w);
                control_reply(request, json_pack("{s:s}", "task", name));
                return;
        case SCHEDULER_BUSY:
                control_reply_error(request, EXIT_CODE_TRY_AGAIN, NULL, "%s runs already", name);
                return;
        case SCHEDULER_DISABLED:
                control_reply_error(request, EXIT_CODE_FAILED, "enable it in the family's file and reload",
                                    "%s is disabled", name);
                return;
        case SCHEDULER_IS_PAUSED:
                control_reply_error(request, EXIT_CODE_TRY_AGAIN, "resume it, or trigger it with --force",
                                    "%s is paused: %s", name, t->paused ?: "");
                return;
        case SCHEDULER_IS_QUARANTINED:
                control_reply_error(request, EXIT_CODE_TRY_AGAIN, NULL, "%s is quarantined on this host: %s", name,
                                    w->start->tasks[t->index].quarantine_reason ?: "");
                return;
        case SCHEDULER_DRAINING:
        case SCHEDULER_NOT_RUNNING:
                control_reply_error(request, EXIT_CODE_TRY_AGAIN, NULL, "the worker is stopping");
                return;
        }
}

static void verb_cancel(Worker *w, ControlRequest *request, const json_t *message) {
        WorkerTask *t = task_of(w, request, message);
        char run_id[UUID_TEXT_SIZE];
        bool body = false;

        if (!t)
                return;
        if (scheduler_cancel(w->scheduler, t->index, &body) != SCHEDULER_OK) {
                control_reply_error(request, EXIT_CODE_FAILED, NULL, "%s does not run here", t->spec->name);
                return;
        }
        if (body)
                cancel_token_cancel(t->token, CANCEL_REQUEST);
        memcpy(run_id, t->run_id, sizeof run_id);
        log_change(w, "cancel", t->spec->name, NULL);
        worker_pump(w);
        control_reply(request, json_pack("{s:s, s:s}", "task", t->spec->name, "run_id", run_id));
}

/* The indices that "tasks" names; returns how many, 0 when it was answered with an error. */
static size_t tasks_of(Worker *w, ControlRequest *request, const json_t *message, size_t *ret) {
        const json_t *list = json_object_get(message, "tasks");
        size_t n = 0;

        if (str_eq(json_string_value(list), "all")) {
                for (; n < w->n_tasks; n++)
                        ret[n] = n;
                return n;
        }
        for (size_t i = 0; i < json_array_size(list); i++) {
                const char *name = json_string_value(json_array_get(list, i));
                WorkerTask *t = find_task(w, name);
                bool twice = false;

                if (!t) {
                        control_reply_error(request, EXIT_CODE_USAGE, "`roundtable list` shows all",
                                            "family %s has no task %s", w->family, name ?: "of that kind");
                        return 0;
                }
                for (size_t k = 0; k < n; k++)
                        twice = twice || ret[k] == t->index;
                if (!twice)
                        ret[n++] = t->index;
        }
        if (n == 0)
                control_reply_error(request, EXIT_CODE_USAGE, NULL, "no task is named");
        return n;
}

static void verb_pause_or_resume(Worker *w, ControlRequest *request, const json_t *message, bool pause) {
        _cleanup_free_ size_t *tasks = calloc(w->n_tasks + 1, sizeof *tasks);
        const char *who = json_string_value(json_object_get(message, "who")) ?: "somebody";
        const char *reason = json_string_value(json_object_get(message, "reason")) ?: "";
        json_int_t until = json_integer_value(json_object_get(message, "until_usec"));
        ControlWait *wait;
        size_t n;

        if (!tasks) {
                reply_out_of_memory(request);
                return;
        }
        if (until < 0) {
                control_reply_error(request, EXIT_CODE_USAGE, NULL, "until_usec is negative");
                return;
        }
        n = tasks_of(w, request, message, tasks);
        wait = n > 0 ? wait_new(w, request, false) : NULL;
        if (!wait)
                return;
        for (size_t i = 0; i < n; i++)
                log_change(w, pause ? "pause" : "resume", w->tasks[tasks[i]].spec->name, who);
        wait->serial = pause ? coordinator_pause(w->coordinator, tasks, n, who, reason, (uint64_t) until)
                             : coordinator_resume(w->coordinator, tasks, n, who);
}

static void verb_log_level(Worker *w, ControlRequest *request, const json_t *message) {
        const char *name = json_string_value(json_object_get(message, "level"));
        LogLevel level;

        if (!name || log_level_from_string(name, &level) < 0) {
                control_reply_error(request, EXIT_CODE_USAGE, "emerg, alert, crit, error, warning, notice, info, debug",
                                    "there is no log level %s", name ?: "without a name");
                return;
        }
        log_change(w, "log-level", NULL, NULL);
        log_set_max_level(level);
        control_reply(request, NULL);
}

static gid_t group_id(const char *name) {
        const struct group *g = getgrnam(name);

        return g ? g->gr_gid : (gid_t) -1;
}

/* As on the supervisor's socket. Under a supervisor changes are its own to ask for, and no other worker's. On its own a
 * worker cannot tell the supervisor, which hands requests on, from others of the same user. */
static bool peer_may(const Worker *w, const ControlPeer *peer, bool change) {
        if (peer->uid == 0 || control_peer_in_group(peer, w->admin_group))
                return true;
        if (!change && (peer->uid == geteuid() || control_peer_in_group(peer, w->read_group)))
                return true;
        if (w->start->supervised)
                return peer->pid == getppid();
        return peer->uid == geteuid() || peer->uid == w->runtime_uid;
}

static void on_request(ControlRequest *request, const json_t *message, const ControlPeer *peer, void *userdata) {
        const char *verb = json_string_value(json_object_get(message, "verb"));
        Worker *w = userdata;

        if (!peer_may(w, peer, !str_eq(verb, "status"))) {
                control_reply_error(request, EXIT_CODE_FAILED, "ask the supervisor, or be root or in roundtable-admin",
                                    "%s is not allowed to uid %u", verb ?: "that", peer->uid);
                return;
        }
        if (str_eq(verb, "status"))
                verb_status(w, request);
        else if (str_eq(verb, "trigger"))
                verb_trigger(w, request, message);
        else if (str_eq(verb, "cancel"))
                verb_cancel(w, request, message);
        else if (str_eq(verb, "pause") || str_eq(verb, "resume"))
                verb_pause_or_resume(w, request, message, str_eq(verb, "pause"));
        else if (str_eq(verb, "log-level"))
                verb_log_level(w, request, message);
        else if (str_eq(verb, "drain")) {
                control_reply(request, NULL);
                worker_drain(w, "drain");
        } else
                control_reply_error(request, EXIT_CODE_USAGE, NULL, "a worker has no verb %s",
                                    verb ?: "without a name");
}

int worker_control_open(Worker *w, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/worker-%s.sock", w->start->runtime_dir, w->family);
        struct stat st;

        if (!path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        /* once: a name service may block */
        w->read_group = group_id("roundtable");
        w->admin_group = group_id("roundtable-admin");
        w->runtime_uid = stat(w->start->runtime_dir, &st) < 0 ? geteuid() : st.st_uid;
        /* for the group: a supervisor of another user asks a worker under its own unit */
        return control_server_new(w->event, path, 0660, on_request, w, &w->control, reterr);
}

void worker_control_close(Worker *w) {
        while (w->waits) {
                control_reply_error(w->waits->request, EXIT_CODE_TRY_AGAIN, NULL, "the worker is stopping");
                wait_free(w->waits);
        }
        w->control = control_server_free(w->control);
}
