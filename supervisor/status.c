/* What `status` answers: what the supervisor knows, and what each ready worker tells about its tasks and servers. A
 * worker that does not answer is shown with the reason instead. */

#include "common/clock.h"
#include "build_paths.h"
#include "supervisor/gather.h"

#define STATUS_TIMEOUT_USEC (2 * USEC_PER_SEC)

static json_t *text_or_null(const char *text) {
        json_t *j = text ? json_string(text) : NULL;

        return j ? j : json_null();
}

static json_t *quarantined(const WorkerProcess *w) {
        json_t *o = json_object();
        uint64_t now = clock_realtime_usec();

        for (size_t i = 0; i < w->quarantine.n_tasks; i++)
                if (w->quarantine.tasks[i].until_usec > now)
                        (void) json_object_set_new(o, w->quarantine.tasks[i].name,
                                                   json_integer((json_int_t) w->quarantine.tasks[i].until_usec));
        return o;
}

static json_t *worker_to_json(const WorkerProcess *w, const json_t *reply) {
        json_t *worker = json_object_get(reply, "worker"), *landlock = json_object_get(w->hello, "landlock");

        return json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:b, s:o, s:O, s:O, s:o}", "family",
                         w->manifest->name, "state", worker_state_to_string(w->state), "pid", (int) w->pid, "restarts",
                         (json_int_t) w->restarts, "failed_starts", (json_int_t) w->failed_starts, "started_usec",
                         (json_int_t) w->started_usec, "next_start_usec", (json_int_t) w->next_start_usec, "last_exit",
                         text_or_null(w->last_exit), "health", text_or_null(w->health), "status",
                         text_or_null(w->status), "serial", (int) w->quarantine.serial, "quarantined", quarantined(w),
                         "landlock", landlock ? landlock : json_null(), "worker", worker ? worker : json_null(),
                         "error", text_or_null(json_string_value(json_object_get(reply, "error"))));
}

static void on_gathered(Supervisor *s, json_t *replies, void *userdata) {
        json_t *workers = json_array();
        const char *state = s->stopping ? "stopping" : s->announced ? "running" : "starting";

        for (size_t i = 0; i < s->n_workers; i++) {
                const WorkerProcess *w = &s->workers[i];

                (void) json_array_append_new(workers, worker_to_json(w, json_object_get(replies, w->manifest->name)));
        }
        control_reply(userdata, json_pack("{s:{s:s, s:i, s:s, s:I, s:s, s:s, s:I}, s:o}", "service", "version",
                                          ROUNDTABLE_VERSION, "pid", (int) getpid(), "state", state, "started_usec",
                                          (json_int_t) s->started_usec, "host", s->host, "runtime_dir", s->runtime_dir,
                                          "notify_dropped", (json_int_t) s->notify_dropped, "workers", workers));
}

void status_reply(Supervisor *s, ControlRequest *request) {
        Gather *g = gather_new(s, on_gathered, request);
        json_t *message = json_pack("{s:s}", "verb", "status");

        if (!g || !message) {
                control_reply_error(request, 1, NULL, "out of memory");
                return;
        }
        for (size_t i = 0; i < s->n_workers; i++) {
                const WorkerProcess *w = &s->workers[i];

                if (w->state == WORKER_READY || w->state == WORKER_DRAINING || w->state == WORKER_OWN_UNIT)
                        gather_add(g, w, message, STATUS_TIMEOUT_USEC);
        }
        json_decref(message);
        gather_finish(g);
}
