/* trigger, cancel, pause, resume and log-level are the workers' business: the supervisor finds which workers, hands the
 * request on with the name of who asked, and puts the answers together. */

#include <stdio.h>

#include "supervisor/gather.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

#define FORWARD_TIMEOUT_USEC (15 * USEC_PER_SEC)

static void on_forwarded(Supervisor *s _unused_, json_t *replies, void *userdata) {
        ControlRequest *request = userdata;
        const char *family;
        json_t *reply;

        if (json_object_size(replies) == 0) {
                control_reply_error(request, EXIT_CODE_USAGE, "roundtable status shows the workers",
                                    "no worker has that");
                return;
        }
        json_object_foreach (replies, family, reply)
                if (!json_is_true(json_object_get(reply, "ok"))) {
                        const char *text = json_string_value(json_object_get(reply, "error"));
                        json_int_t code = json_integer_value(json_object_get(reply, "code"));

                        control_reply_error(request, code > 0 && code < 256 ? (int) code : EXIT_CODE_FAILED,
                                            json_string_value(json_object_get(reply, "hint")), "%s: %s", family,
                                            text ? text : "failed");
                        return;
                }
        control_reply(request, json_pack("{s:O}", "workers", replies));
}

/* Which of the message's tasks are the family's: NULL for none. "all" stays "all". */
static json_t *tasks_of_family(const json_t *tasks, const FamilyManifest *manifest) {
        json_t *own, *name;
        size_t i;

        if (json_is_string(tasks))
                return json_incref((json_t *) tasks);
        own = json_array();
        json_array_foreach ((json_t *) tasks, i, name)
                if (family_manifest_find_task(json_string_value(name), NULL) == manifest)
                        (void) json_array_append(own, name);
        if (json_array_size(own) > 0)
                return own;
        json_decref(own);
        return NULL;
}

/* NULL, or the task nobody has. */
static const char *unknown_task(const json_t *message) {
        const json_t *task = json_object_get(message, "task"), *tasks = json_object_get(message, "tasks");
        json_t *name;
        size_t i;

        if (task && !family_manifest_find_task(json_string_value(task), NULL))
                return json_is_string(task) ? json_string_value(task) : "(not a name)";
        if (json_is_string(tasks) && !str_eq(json_string_value(tasks), "all"))
                return json_string_value(tasks);
        json_array_foreach ((json_t *) tasks, i, name)
                if (!family_manifest_find_task(json_string_value(name), NULL))
                        return json_is_string(name) ? json_string_value(name) : "(not a name)";
        return NULL;
}

static bool concerns(const WorkerProcess *w, const json_t *message) {
        const char *family = json_string_value(json_object_get(message, "family"));
        const char *task = json_string_value(json_object_get(message, "task"));

        if (family && !str_eq(family, w->manifest->name))
                return false;
        return !task || family_manifest_find_task(task, NULL) == w->manifest;
}

void forward_request(Supervisor *s, ControlRequest *request, const json_t *message, uid_t uid) {
        const json_t *tasks = json_object_get(message, "tasks");
        const char *verb = json_string_value(json_object_get(message, "verb")), *unknown = unknown_task(message);
        bool one_task = str_eq(verb, "trigger") || str_eq(verb, "cancel");
        char who[32] = "root";
        Gather *g;

        if (unknown) {
                control_reply_error(request, EXIT_CODE_USAGE, "roundtable list shows the tasks", "no task %s", unknown);
                return;
        }
        if ((one_task && !json_is_string(json_object_get(message, "task"))) ||
            ((str_eq(verb, "pause") || str_eq(verb, "resume")) && !json_is_array(tasks) && !json_is_string(tasks))) {
                control_reply_error(request, EXIT_CODE_USAGE, NULL, "%s needs %s", verb, one_task ? "a task" : "tasks");
                return;
        }
        g = gather_new(s, on_forwarded, request);
        if (!g) {
                control_reply_error(request, EXIT_CODE_FAILED, NULL, "out of memory");
                return;
        }
        /* Names of users may come from servers that block; the number is what is certain. */
        if (uid != 0)
                (void) snprintf(who, sizeof who, "uid %u", uid);
        for (size_t i = 0; i < s->n_workers; i++) {
                WorkerProcess *w = &s->workers[i];
                json_t *own = tasks ? tasks_of_family(tasks, w->manifest) : NULL, *copy;

                if (!concerns(w, message) || (tasks && !own) ||
                    (!one_task && !json_is_array(tasks) && !worker_process_enabled(w))) {
                        json_decref(own);
                        continue;
                }
                copy = json_copy((json_t *) message);
                if (own)
                        (void) json_object_set_new(copy, "tasks", own);
                (void) json_object_set_new(copy, "who", json_string(who));
                gather_add(g, w, copy, FORWARD_TIMEOUT_USEC);
                json_decref(copy);
        }
        gather_finish(g);
}
