/* See client_verbs.h. */

#include <getopt.h>
#include <stdio.h>

#include "common/clock.h"
#include "supervisor/client_verbs.h"
#include "supervisor/supervisor.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

#define STATUS_TIMEOUT_USEC (10 * USEC_PER_SEC)
/* A reload waits for drains. systemd has its own limit for ExecReload=. */
#define RELOAD_TIMEOUT_USEC (3600 * USEC_PER_SEC)

typedef struct ClientOptions {
        const char *conf_dir, *runtime_dir;
        bool json, dry_run;
} ClientOptions;

static int parse_client(int argc, char **argv, bool dry_run, ClientOptions *ret) {
        enum { OPTION_CONF = 256, OPTION_RUNTIME, OPTION_JSON, OPTION_DRY_RUN };
        static const struct option options[] = { { "conf", required_argument, NULL, OPTION_CONF },
                                                 { "runtime-dir", required_argument, NULL, OPTION_RUNTIME },
                                                 { "json", no_argument, NULL, OPTION_JSON },
                                                 { "dry-run", no_argument, NULL, OPTION_DRY_RUN },
                                                 { NULL, 0, NULL, 0 } };

        *ret = (ClientOptions){ 0 };
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                if (c == OPTION_CONF)
                        ret->conf_dir = optarg;
                else if (c == OPTION_RUNTIME)
                        ret->runtime_dir = optarg;
                else if (c == OPTION_JSON)
                        ret->json = true;
                else if (c == OPTION_DRY_RUN && dry_run)
                        ret->dry_run = true;
                else
                        return -EINVAL;
        return optind < argc ? -EINVAL : 0;
}

/* Settings that do not load must not keep anybody from asking: then the built-in directory is tried. */
static char *control_path(const ClientOptions *o) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_settings_ Settings *settings = NULL;
        SettingsSource source = settings_process_source(o->conf_dir, NULL);
        const char *directory = o->runtime_dir;

        if (!directory && settings_load(&source, family_manifests, &settings, &problems) >= 0)
                directory = settings_string(settings, "supervisor.runtime_dir");
        return str_printf("%s/control", directory ? directory : "/run/roundtable");
}

/* Exit code 0 with *ret, or the failure's, which has been printed. */
static int ask(const ClientOptions *o, json_t *request, uint64_t timeout_usec, json_t **ret) {
        _cleanup_free_ char *path = control_path(o);
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *reply = NULL;
        int r = path ? control_call(path, request, timeout_usec, &reply, &e) : -ENOMEM;
        int code;

        json_decref(request);
        if (r < 0) {
                (void) fprintf(stderr, "roundtable: %s\n", error_text(&e));
                if (r == -ENOENT || r == -ECONNREFUSED)
                        (void) fprintf(stderr,
                                       "  HINT: is the service running? Look at: systemctl status roundtable\n");
                return EXIT_CODE_FAILED;
        }
        if (json_is_true(json_object_get(reply, "ok"))) {
                *ret = reply;
                return 0;
        }
        (void) fprintf(stderr, "roundtable: %s\n", json_string_value(json_object_get(reply, "error")));
        if (json_string_value(json_object_get(reply, "hint")))
                (void) fprintf(stderr, "  HINT: %s\n", json_string_value(json_object_get(reply, "hint")));
        code = (int) json_integer_value(json_object_get(reply, "code"));
        json_decref(reply);
        return code > 0 && code < 256 ? code : EXIT_CODE_FAILED;
}

static const char *text_of(const json_t *o, const char *key) {
        const char *s = json_string_value(json_object_get(o, key));

        return s ? s : "";
}

static const char *ago(const json_t *usec, char *buffer, size_t size) {
        uint64_t then = (uint64_t) json_integer_value(usec), now = clock_realtime_usec();

        if (then == 0)
                return "-";
        return format_duration(now > then ? now - then : 0, buffer, size);
}

static const char *until(const json_t *usec, char *buffer, size_t size) {
        uint64_t then = (uint64_t) json_integer_value(usec), now = clock_realtime_usec();

        return then == 0 ? "-" : then <= now ? "now" : format_duration(then - now, buffer, size);
}

/* Who runs the task now, on whatever host; empty when nobody does. */
static const char *holder_of(const json_t *fleet) {
        const char *holder = text_of(fleet, "holder");

        if (json_is_true(json_object_get(fleet, "running")))
                return text_of(json_object_get(fleet, "run"), "host");
        return strncmp(holder, "nobody;", 7) == 0 ? "" : holder;
}

static void print_pause(const json_t *paused) {
        const json_t *end = json_object_get(paused, "until");
        char left[64];

        (void) printf("      paused by %s on %s: %s", text_of(paused, "who"), text_of(paused, "host"),
                      text_of(paused, "reason"));
        if (json_is_integer(end))
                (void) printf(", for another %s", until(end, left, sizeof left));
        (void) printf("\n");
}

#define TASK_ROW "  %-40s %-11s %-10s %-10s %-12s %-12s %s\n"

static void print_task(const json_t *task) {
        const json_t *last = json_object_get(task, "last"), *fleet = json_object_get(task, "fleet");
        const json_t *run = json_object_get(fleet, "run"), *paused = json_object_get(fleet, "paused");
        char duration[64] = "-", next[64], since[64];
        const char *result;

        if (json_is_object(last))
                (void) format_duration((uint64_t) json_integer_value(json_object_get(last, "duration_usec")), duration,
                                       sizeof duration);
        /* what this worker has not run itself may have been run on another host */
        result = json_is_object(last) ? text_of(last, "result") : text_of(run, "last_result");
        (void) printf(TASK_ROW, text_of(task, "name"), text_of(task, "state"), str_empty(result) ? "-" : result,
                      duration, ago(json_object_get(run, "last_success"), since, sizeof since),
                      until(json_object_get(task, "next_usec"), next, sizeof next), holder_of(fleet));
        if (json_is_object(paused))
                print_pause(paused);
        if (!str_empty(text_of(task, "obstacle")))
                (void) printf("      cannot run: %s\n", text_of(task, "obstacle"));
        if (!str_empty(text_of(json_object_get(task, "run"), "progress")))
                (void) printf("      %s\n", text_of(json_object_get(task, "run"), "progress"));
        if (!str_empty(text_of(last, "error")))
                (void) printf("      %s\n", text_of(last, "error"));
}

/* Whether one is missing. */
static bool print_servers(const json_t *servers) {
        const char *name;
        json_t *server;
        bool bad = false;

        json_object_foreach ((json_t *) servers, name, server)
                if (json_is_false(json_object_get(server, "ok"))) {
                        char since[64];

                        (void) printf("  ! %s has been missing for %s: %s\n", name,
                                      ago(json_object_get(server, "since_usec"), since, sizeof since),
                                      text_of(server, "error"));
                        bad = true;
                }
        return bad;
}

static void print_worker(const json_t *w) {
        const json_t *told = json_object_get(w, "worker"), *tasks = json_object_get(told, "tasks");
        const char *state = text_of(w, "state"), *health = text_of(w, "health"), *name;
        bool running = str_eq(state, "running");
        json_t *task, *until_usec;
        char text[64];
        size_t i;

        (void) printf("\n%s: %s", text_of(w, "family"), state);
        if (json_integer_value(json_object_get(w, "pid")) > 0)
                (void) printf(", pid %" JSON_INTEGER_FORMAT ", up %s", json_integer_value(json_object_get(w, "pid")),
                              ago(json_object_get(w, "started_usec"), text, sizeof text));
        if (json_integer_value(json_object_get(w, "restarts")) > 0)
                (void) printf(", %" JSON_INTEGER_FORMAT " restarts",
                              json_integer_value(json_object_get(w, "restarts")));
        if (!str_empty(text_of(w, "last_exit")))
                (void) printf(", the last one %s", text_of(w, "last_exit"));
        (void) printf("\n");
        if (json_is_true(json_object_get(w, "serial")))
                (void) printf("  ! runs one task at a time until the faulty one is known\n");
        if (running && json_is_integer(json_object_get(w, "landlock")) &&
            json_integer_value(json_object_get(w, "landlock")) <= 0)
                (void) printf("  ! no Landlock here: secrets are not separated between workers\n");
        json_object_foreach (json_object_get(w, "quarantined"), name, until_usec) {
                (void) printf("  ! %s is held on this host for another %s\n", name,
                              until(until_usec, text, sizeof text));
        }
        if (!print_servers(json_object_get(told, "servers")) && !str_empty(health) && !str_eq(health, "ok"))
                (void) printf("  ! %s\n", health);
        if (running && !str_empty(text_of(w, "error")))
                (void) printf("  ! does not tell about its tasks: %s\n", text_of(w, "error"));
        if (json_array_size(tasks) > 0)
                (void) printf(TASK_ROW, "TASK", "STATE", "LAST", "TOOK", "SUCCESS AGO", "NEXT IN", "RUN BY");
        json_array_foreach ((json_t *) tasks, i, task)
                print_task(task);
}

/* One judgement for both forms of output, from the reply alone. */
static bool is_unhealthy(const json_t *w) {
        const json_t *told = json_object_get(w, "worker"), *tasks = json_object_get(told, "tasks"),
                     *servers = json_object_get(told, "servers");
        const char *state = text_of(w, "state"), *health = text_of(w, "health"), *name;
        json_t *item;
        size_t i;

        if (!str_eq(state, "running") && !str_eq(state, "disabled") && !str_eq(state, "run by its own unit"))
                return true;
        if ((!str_empty(health) && !str_eq(health, "ok")) || json_object_size(json_object_get(w, "quarantined")) > 0 ||
            (str_eq(state, "running") && !str_empty(text_of(w, "error"))))
                return true;
        json_object_foreach ((json_t *) servers, name, item)
                if (json_is_false(json_object_get(item, "ok")))
                        return true;
        json_array_foreach ((json_t *) tasks, i, item)
                if (str_eq(text_of(json_object_get(item, "last"), "result"), "failed") ||
                    !str_empty(text_of(item, "obstacle")))
                        return true;
        return false;
}

int verb_status(int argc, char **argv) {
        const json_t *service, *workers;
        ClientOptions o;
        bool bad = false;
        json_t *reply, *w;
        char text[64];
        size_t i;
        int code;

        if (parse_client(argc, argv, false, &o) < 0)
                return EXIT_CODE_USAGE;
        code = ask(&o, json_pack("{s:s}", "verb", "status"), STATUS_TIMEOUT_USEC, &reply);
        if (code != 0)
                return code;
        service = json_object_get(reply, "service");
        workers = json_object_get(reply, "workers");
        json_array_foreach ((json_t *) workers, i, w)
                bad = is_unhealthy(w) || bad;
        if (o.json) {
                (void) json_dumpf(reply, stdout, JSON_INDENT(2));
                (void) printf("\n");
        } else {
                (void) printf("roundtable %s on %s: %s, pid %" JSON_INTEGER_FORMAT ", up %s\n",
                              text_of(service, "version"), text_of(service, "host"), text_of(service, "state"),
                              json_integer_value(json_object_get(service, "pid")),
                              ago(json_object_get(service, "started_usec"), text, sizeof text));
                json_array_foreach ((json_t *) workers, i, w)
                        print_worker(w);
        }
        json_decref(reply);
        return bad ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int verb_reload(int argc, char **argv) {
        ClientOptions o;
        json_t *reply, *name;
        size_t i;
        int code;

        if (parse_client(argc, argv, true, &o) < 0)
                return EXIT_CODE_USAGE;
        code = ask(&o, json_pack("{s:s, s:b}", "verb", "reload", "dry_run", (int) o.dry_run), RELOAD_TIMEOUT_USEC,
                   &reply);
        if (code != 0)
                return code;
        (void) fputs(text_of(reply, "warnings"), stderr);
        if (o.json) {
                (void) json_dumpf(reply, stdout, JSON_INDENT(2));
                (void) printf("\n");
        } else if (o.dry_run) {
                (void) printf("settings are valid\n");
                json_array_foreach (json_object_get(reply, "restarts"), i, name)
                        (void) printf("would restart worker %s\n", json_string_value(name));
        }
        json_decref(reply);
        return EXIT_CODE_OK;
}

static int exec_program(const char *name, bool helper, char **argv) {
        _cleanup_free_ char *path = program_path(name, helper);

        if (path)
                (void) execv(path, argv);
        (void) fprintf(stderr, "roundtable: cannot execute %s: %m\n", path ? path : name);
        return EXIT_CODE_FAILED;
}

int verb_run(int argc, char **argv) {
        char **args;

        if (argc < 2)
                return EXIT_CODE_USAGE;
        args = calloc((size_t) argc + 2, sizeof *args);
        if (!args)
                return EXIT_CODE_FAILED;
        args[0] = (char *) "roundtable-worker";
        args[1] = (char *) "--run";
        memcpy(args + 2, argv + 1, ((size_t) argc - 1) * sizeof *args);
        argc = exec_program("roundtable-worker", false, args);
        free(args);
        return argc;
}

int verb_migrate(int argc _unused_, char **argv) {
        char **args = calloc((size_t) argc + 2, sizeof *args);

        if (!args)
                return EXIT_CODE_FAILED;
        args[0] = (char *) "roundtable-admin";
        memcpy(args + 1, argv, (size_t) argc * sizeof *args);
        argc = exec_program("roundtable-admin", true, args);
        free(args);
        return argc;
}

int verb_sample(int argc, char **argv) {
        return verb_migrate(argc, argv);
}

int verb_supervise(int argc, char **argv) {
        enum { OPTION_CONF = 256, OPTION_ENV_DIR, OPTION_RUNTIME, OPTION_STATE, OPTION_FAMILY, OPTION_FOREGROUND };
        static const struct option options[] = { { "conf", required_argument, NULL, OPTION_CONF },
                                                 { "env-dir", required_argument, NULL, OPTION_ENV_DIR },
                                                 { "runtime-dir", required_argument, NULL, OPTION_RUNTIME },
                                                 { "state-dir", required_argument, NULL, OPTION_STATE },
                                                 { "family", required_argument, NULL, OPTION_FAMILY },
                                                 { "foreground", no_argument, NULL, OPTION_FOREGROUND },
                                                 { NULL, 0, NULL, 0 } };
        const char *families[64] = { NULL };
        SupervisorOptions o = { 0 };
        size_t n = 0;

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                if (c == OPTION_CONF)
                        o.conf_dir = optarg;
                else if (c == OPTION_ENV_DIR)
                        o.env_dir = optarg;
                else if (c == OPTION_RUNTIME)
                        o.runtime_dir = optarg;
                else if (c == OPTION_STATE)
                        o.state_dir = optarg;
                else if (c == OPTION_FOREGROUND)
                        o.foreground = true;
                else if (c == OPTION_FAMILY && n < ELEMENTSOF(families) - 1) {
                        families[n++] = optarg;
                        o.families = families;
                } else
                        return EXIT_CODE_USAGE;
        if (optind < argc)
                return EXIT_CODE_USAGE;
        return supervisor_run(&o);
}
