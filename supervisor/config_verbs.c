/* config check: every problem. config show: effective values and where each came from, secrets masked. */

#include <getopt.h>
#include <stdio.h>

#include "supervisor/verbs.h"
#include "workers/registry.h"
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

/* A file that is no settings file at all may be quoted: JSON takes nothing but UTF-8. */
static json_t *text_to_json(const char *text) {
        _cleanup_free_ char *ascii = NULL;
        json_t *j = text ? json_string(text) : json_null();

        if (j || !text)
                return j;
        ascii = strdup(text);
        for (char *c = ascii; c && *c; c++)
                if ((unsigned char) *c >= 0x80)
                        *c = '?';
        return ascii ? json_string(ascii) : NULL;
}

/* The problems as programs read them: {"valid":…,"problems":[{file,line,key,text,hint,warning}]}, on stdout also when
 * the settings are bad. */
static int check_json(const SettingsOptions *o) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_settings_ Settings *s = NULL;
        SettingsSource source = settings_process_source(o->conf_dir, o->env_dir);
        json_t *list = json_array(), *document;
        bool failed = false;
        int r;

        source.all_families = true;
        r = settings_load(&source, family_manifests, &s, &problems);
        for (size_t i = 0; i < problems.n; i++) {
                const SettingsProblem *p = &problems.items[i];

                if (json_array_append_new(list, json_pack("{s:o, s:i, s:o, s:o, s:o, s:b}", "file",
                                                          text_to_json(p->file), "line", p->line, "key",
                                                          text_to_json(p->key), "text", text_to_json(p->text), "hint",
                                                          text_to_json(p->hint), "warning", (int) p->warning)) < 0)
                        failed = true;
        }
        document = json_pack("{s:b, s:o}", "valid", (int) (r >= 0), "problems", list);
        if (!document || failed || (r < 0 && r != -EBADMSG) || json_dumpf(document, stdout, JSON_INDENT(2)) < 0)
                failed = true;
        else
                (void) printf("\n");
        json_decref(document);
        if (failed) {
                (void) fprintf(stderr, "cannot check the settings: %s\n",
                               strerror(r < 0 && r != -EBADMSG ? -r : ENOMEM));
                return EXIT_CODE_FAILED;
        }
        return r < 0 ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
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
        if (o.json && str_eq(what, "check"))
                return check_json(&o);
        code = settings_load_for_cli(&o, &s);
        if (code != EXIT_CODE_OK)
                return code;
        if (str_eq(what, "show"))
                return show(s, o.json);
        (void) printf("settings are valid\n");
        return EXIT_CODE_OK;
}
