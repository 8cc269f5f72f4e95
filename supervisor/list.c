/* list: each task, what holds for it and where that came from. */

#include <getopt.h>
#include <stdio.h>

#include "supervisor/verbs.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

static const char *const keys[] = { "enabled", "interval", "lock_multiplier", "max_run", "class" };

static json_t *task_to_json(const Settings *s, const FamilyManifest *family, const TaskSpec *task) {
        json_t *j = json_pack("{s:s, s:s, s:s}", "family", family->name, "task", task->name, "help", task->help ?: "");

        for (size_t i = 0; j && i < ELEMENTSOF(keys); i++) {
                _cleanup_free_ char *name = str_printf("%s.tasks.%s.%s", family->name, task->name, keys[i]);
                _cleanup_free_ char *value = name ? settings_format_value(s, name, true) : NULL;

                if (!value || json_object_set_new(j, keys[i],
                                                  json_pack("{s:s, s:s}", "value", value, "origin",
                                                            settings_origin(s, name))) < 0) {
                        json_decref(j);
                        return NULL;
                }
        }
        return j;
}

static void print_task(const json_t *task, bool worker_enabled) {
        const json_t *v;

        (void) printf("%s/%s%s\n", json_string_value(json_object_get(task, "family")),
                      json_string_value(json_object_get(task, "task")),
                      worker_enabled ? "" : "  (its worker is not enabled)");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                v = json_object_get(task, keys[i]);
                (void) printf("    %-16s %-10s %s\n", keys[i], json_string_value(json_object_get(v, "value")),
                              json_string_value(json_object_get(v, "origin")));
        }
}

int verb_list(int argc, char **argv) {
        _cleanup_settings_ Settings *s = NULL;
        SettingsOptions o;
        json_t *all;
        int code;

        if (settings_options_parse(argc, argv, &o) < 0 || optind != argc)
                return EXIT_CODE_USAGE;
        code = settings_load_for_cli(&o, &s);
        if (code != EXIT_CODE_OK)
                return code;
        all = json_array();
        for (const FamilyManifest *const *f = family_manifests; *f; f++)
                for (const TaskSpec *t = (*f)->tasks; t->name; t++) {
                        json_t *task = task_to_json(s, *f, t);

                        if (!task || json_array_append(all, task) < 0)
                                code = EXIT_CODE_FAILED;
                        else if (!o.json)
                                print_task(task, settings_worker_bool(s, (*f)->name, "worker.enabled"));
                        json_decref(task);
                }
        if (o.json && code == EXIT_CODE_OK) {
                if (json_dumpf(all, stdout, JSON_INDENT(2)) < 0)
                        code = EXIT_CODE_FAILED;
                (void) printf("\n");
        }
        json_decref(all);
        return fflush(stdout) == 0 ? code : EXIT_CODE_FAILED;
}
