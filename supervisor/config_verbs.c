/* config check: every problem. config show: effective values and where each came from, secrets masked. */

#include <getopt.h>
#include <stdio.h>

#include "supervisor/verbs.h"
#include "workers/worker_protocol.h"

typedef struct Show {
        const Settings *settings;
        json_t *json; /* NULL: print lines */
        bool failed;
} Show;

static void show_row(const char *name, const SettingSpec *spec, void *userdata) {
        Show *show = userdata;
        _cleanup_free_ char *value = settings_format_value(show->settings, name, true);
        const char *origin = settings_origin(show->settings, name);

        if (!value)
                show->failed = true;
        else if (!show->json)
                (void) printf("%s = %s  # %s\n", name, *value ? value : "(unset)", origin);
        else if (json_array_append_new(show->json,
                                       json_pack("{s:s, s:s, s:s, s:b}", "name", name, "value", value, "origin", origin,
                                                 "secret", (spec->flags & SETTING_SECRET) != 0)) < 0)
                show->failed = true;
}

static int show(const Settings *s, bool json) {
        Show v = { .settings = s, .json = json ? json_array() : NULL };

        if (json && !v.json)
                return EXIT_CODE_FAILED;
        settings_visit(s, show_row, &v);
        if (json) {
                if (!v.failed && json_dumpf(v.json, stdout, JSON_INDENT(2)) < 0)
                        v.failed = true;
                (void) printf("\n");
                json_decref(v.json);
        }
        return v.failed || fflush(stdout) != 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int verb_config(int argc, char **argv) {
        _cleanup_settings_ Settings *s = NULL;
        SettingsOptions o;
        const char *what;
        int code;

        if (settings_options_parse(argc, argv, &o) < 0 || optind != argc - 1)
                return EXIT_CODE_USAGE;
        what = argv[argc - 1];
        if (!str_eq(what, "check") && !str_eq(what, "show"))
                return EXIT_CODE_USAGE;
        code = settings_load_for_cli(&o, &s);
        if (code != EXIT_CODE_OK)
                return code;
        if (str_eq(what, "show"))
                return show(s, o.json);
        if (o.json)
                (void) printf("{\"valid\": true}\n");
        else
                (void) printf("settings are valid\n");
        return EXIT_CODE_OK;
}
