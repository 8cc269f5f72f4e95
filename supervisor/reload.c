/* Reload: all settings are read and judged before anything changes; then only the workers whose effective settings
 * differ are drained and started anew. A further reload during that just moves the goal: a draining worker is started
 * with whatever is newest. Answers wait until the workers have settled. */

#include <signal.h>

#include "common/log.h"
#include "common/message_ids.h"
#include "supervisor/supervisor.h"
#include "workers/worker_protocol.h"

#define AT "supervisor#reload"
#define MAX_WAITING CONTROL_MAX_CONNECTIONS

static bool worker_in_motion(const WorkerProcess *w) {
        switch (w->state) {
        case WORKER_STARTING:
        case WORKER_DRAINING:
        case WORKER_KILLING:
                return true;
        case WORKER_WAITING:
                return w->failed_starts == 0;
        default:
                return false;
        }
}

/* `restarts` NULL: they have happened. Takes it. */
static json_t *answer(json_t *restarts, const char *warnings) {
        json_t *reply = json_object();

        if (restarts)
                (void) json_object_set_new(reply, "restarts", restarts);
        if (warnings)
                (void) json_object_set_new(reply, "warnings",
                                           json_string(warnings)
                                                   ?: json_string("the log has them: they are no UTF-8\n"));
        return reply;
}

void reload_check_answers(Supervisor *s) {
        json_t *failed = NULL;

        if (s->n_reloads == 0)
                return;
        for (size_t i = 0; i < s->n_workers; i++)
                if (worker_in_motion(&s->workers[i]))
                        return;
        failed = json_array();
        for (size_t i = 0; i < s->n_workers; i++)
                if (s->workers[i].state == WORKER_REFUSED || s->workers[i].failed_starts > 0)
                        (void) json_array_append_new(failed, json_string(s->workers[i].manifest->name));
        while (s->n_reloads > 0) {
                ControlRequest *request = s->reloads[--s->n_reloads];

                if (json_array_size(failed) > 0)
                        control_reply_error(request, EXIT_CODE_FAILED, "roundtable status says why",
                                            "settings are valid and in force, but worker %s does not start with them",
                                            json_string_value(json_array_get(failed, 0)));
                else
                        control_reply(request, answer(NULL, s->warnings));
        }
        json_decref(failed);
}

void reload_abandon(Supervisor *s) {
        while (s->n_reloads > 0)
                control_reply_error(s->reloads[--s->n_reloads], EXIT_CODE_TRY_AGAIN,
                                    "the settings are valid and in force when it starts again", "the service stops");
}

/* Whether the worker must be restarted to be what `settings` say. */
static bool worker_differs(WorkerProcess *w) {
        json_t *wanted;
        bool differs;

        if (worker_process_enabled(w) != (w->state != WORKER_DISABLED))
                return true;
        if (!worker_process_enabled(w))
                return false;
        if (w->state == WORKER_REFUSED || w->state == WORKER_WAITING)
                return true;
        if (w->pid == 0 || w->state == WORKER_DRAINING)
                return false;
        wanted = settings_to_worker_json(w->supervisor->settings, w->manifest);
        differs = !json_equal(wanted, w->settings);
        json_decref(wanted);
        return differs;
}

static void apply_to_worker(WorkerProcess *w) {
        bool enabled = worker_process_enabled(w);

        if (w->state == WORKER_DRAINING) {
                w->start_again = enabled;
                return;
        }
        if (!worker_differs(w))
                return;
        w->failed_starts = 0;
        w->step = 0;
        worker_process_stop(w, enabled);
}

static json_t *changes(Supervisor *s) {
        json_t *list = json_array();

        for (size_t i = 0; i < s->n_workers; i++)
                if (worker_differs(&s->workers[i]))
                        (void) json_array_append_new(list, json_string(s->workers[i].manifest->name));
        return list;
}

static void reload_refused(ControlRequest *request, const SettingsProblems *problems, bool dry_run) {
        _cleanup_free_ char *text = settings_problems_format(problems);

        if (!dry_run)
                log_printf(LOG_LEVEL_ERROR, MESSAGE_RELOAD_FAILED, AT,
                           "Settings have problems, the old ones stay in force:\n%s", text ? text : "out of memory");
        if (request)
                control_reply_error(request, EXIT_CODE_CONFIG, "nothing was changed; the old settings stay in force",
                                    "%s", text ? text : "out of memory");
}

void reload_request(Supervisor *s, ControlRequest *request, bool dry_run) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        Settings *settings = NULL, *old = s->settings;
        _cleanup_free_ char *warnings = NULL;
        ControlRequest **reloads;
        json_t *list;
        LogLevel level;

        if (s->stopping) {
                if (request)
                        control_reply_error(request, EXIT_CODE_TRY_AGAIN, NULL, "the service stops");
                return;
        }
        if (supervisor_load_settings(s, &settings, &problems) < 0) {
                reload_refused(request, &problems, dry_run);
                return;
        }
        if (problems.n > 0)
                warnings = settings_problems_format(&problems);
        s->settings = settings;
        list = changes(s);
        if (dry_run) {
                s->settings = old;
                settings_free(settings);
                control_reply(request, answer(list, warnings));
                return;
        }
        json_decref(list);
        settings_free(old);
        if (log_level_from_string(settings_string(settings, "log.level"), &level) >= 0)
                log_set_max_level(level);
        free(s->warnings);
        s->warnings = TAKE_PTR(warnings);
        log_printf(LOG_LEVEL_INFO, MESSAGE_RELOADED, AT, "Settings were read again");
        if (s->warnings)
                log_printf(LOG_LEVEL_WARNING, MESSAGE_CONFIG_WARNING, AT, "Settings are in force, but:\n%s",
                           s->warnings);
        supervisor_extend_timeout(s);
        for (size_t i = 0; i < s->n_workers; i++)
                apply_to_worker(&s->workers[i]);
        if (request) {
                reloads = s->n_reloads < MAX_WAITING ? realloc(s->reloads, (s->n_reloads + 1) * sizeof *reloads) : NULL;
                if (reloads) {
                        s->reloads = reloads;
                        s->reloads[s->n_reloads++] = request;
                } else
                        control_reply_error(request, EXIT_CODE_TRY_AGAIN, NULL, "too many reloads are waiting");
        }
        supervisor_workers_changed(s);
}
