/* Writes what is made from the table of settings: `man`, `conf`, `family NAME`, `environment`. Runs at build time. */

#include <stdio.h>

#include "common/settings.h"
#include "workers/registry.h"

typedef struct Doc {
        const Settings *settings;
        const char *family; /* NULL: the common rows */
        char path[256];     /* of open groups, "a.b." */
        const char *mode;
} Doc;

/* The key in the family's file, or NULL when the row does not belong there. */
static const char *file_key(const Doc *d, const char *name) {
        size_t n = d->family ? strlen(d->family) : 0;

        if (!d->family) {
                for (const FamilyManifest *const *f = family_manifests; *f; f++)
                        if (strncmp(name, (*f)->name, strlen((*f)->name)) == 0 && name[strlen((*f)->name)] == '.')
                                return NULL;
                return name;
        }
        if (strncmp(name, d->family, n) != 0 || name[n] != '.')
                return NULL;
        name += n + 1;
        return strncmp(name, "worker.", 7) == 0 ? name + 7 : name;
}

static int depth(const char *path) {
        int n = 0;

        for (; *path; path++)
                n += *path == '.';
        return n;
}

/* Closes and opens groups until the path is that of `key`. */
static void move_to(Doc *d, const char *key) {
        const char *last = key ? strrchr(key, '.') : NULL;
        size_t length = last ? (size_t) (last - key) + 1 : 0, n;

        while (*d->path && (strlen(d->path) > length || strncmp(d->path, key, strlen(d->path)) != 0)) {
                d->path[strlen(d->path) - 1] = '\0';
                n = strrchr(d->path, '.') ? (size_t) (strrchr(d->path, '.') - d->path) + 1 : 0;
                d->path[n] = '\0';
                printf("%*s};\n", depth(d->path) * 4, "");
        }
        while ((n = strlen(d->path)) < length) {
                size_t part = strcspn(key + n, ".");

                printf("\n%*s%.*s = {\n", depth(d->path) * 4, "", (int) part, key + n);
                (void) snprintf(d->path + n, sizeof(d->path) - n, "%.*s.", (int) part, key + n);
        }
}

/* What stands for a setting without a default: a value that is accepted and, where possible, means unset. */
static void print_value(const Doc *d, const char *name, const SettingSpec *spec) {
        char *value = settings_format_value(d->settings, name, false);
        bool quoted = spec->type != SETTING_BOOL && spec->type != SETTING_INT && spec->type != SETTING_NUMBER;

        if (value && !*value && spec->type == SETTING_ENUM)
                printf("\"%.*s\"", (int) strcspn(spec->choices, "|"), spec->choices);
        else if (value && !*value && spec->max)
                printf(quoted ? "\"%s\"" : "%s", spec->max);
        else
                printf(quoted ? "\"%s\"" : "%s", value ? value : "");
        free(value);
}

static void conf_row(const char *name, const SettingSpec *spec, void *userdata) {
        Doc *d = userdata;
        const char *key = file_key(d, name), *last;
        char *value = key ? settings_format_value(d->settings, name, false) : NULL;
        int indent;

        if (!key)
                return;
        move_to(d, key);
        last = strrchr(key, '.') ? strrchr(key, '.') + 1 : key;
        indent = depth(d->path) * 4;
        printf("%*s# %s%s%s\n%*s#%s = ", indent, "", spec->help ?: "", spec->env ? " Variable: " : "", spec->env ?: "",
               indent, "", last);
        print_value(d, name, spec);
        printf(";%s\n", value && *value ? "" : " # unset by default");
        free(value);
}

static void environment_row(const char *name, const SettingSpec *spec, void *userdata) {
        Doc *d = userdata;

        if (!spec->env || (d->family ? !file_key(d, name) || strstr(name, ".worker.") : !file_key(d, name)))
                return;
        printf("# %s: %s\n#%s=", name, spec->help ?: "", spec->env);
        if (spec->type == SETTING_DURATION)
                printf("%llu", (unsigned long long) settings_duration_usec(d->settings, name) /
                                       (spec->env_unit == SETTING_ENV_SEC ? 1000000 : 1000));
        else if (spec->type == SETTING_SIZE)
                printf("%lld", (long long) settings_int(d->settings, name));
        else {
                char *value = settings_format_value(d->settings, name, false);

                printf("%s", value ? value : "");
                free(value);
        }
        printf("\n");
}

static void roff(const char *text) {
        for (; *text; text++)
                if (*text == '\\')
                        printf("\\e");
                else if (*text == '-')
                        printf("\\-");
                else
                        putchar(*text);
}

static const char *type_text(SettingType type) {
        static const char *const names[] = { "string", "boolean", "integer", "number", "duration",
                                             "size",   "URL",     "path",    "one of", "list of strings" };

        return names[type];
}

static void man_row(const char *name, const SettingSpec *spec, void *userdata) {
        Doc *d = userdata;
        const char *key = file_key(d, name);
        char *value;

        /* The worker rows of a family are those of roundtable.conf. */
        if (!key || (d->family && strstr(name, ".worker.")))
                return;
        value = settings_format_value(d->settings, name, false);
        printf(".TP\n.B ");
        roff(key);
        printf("\n%s", type_text(spec->type));
        if (spec->choices) {
                putchar(' ');
                roff(spec->choices);
        }
        printf("; default ");
        roff(value && *value ? value : "unset");
        free(value);
        if (spec->min && spec->max) {
                printf("; from ");
                roff(spec->min);
                printf(" to ");
                roff(spec->max);
        }
        if (spec->flags & SETTING_TASK_REQUIRED)
                printf("; required while %s is enabled", spec->tasks ?: "a task of the family");
        printf("; %s%s%s%s%s.\n", spec->env ? "variable " : "no variable", spec->env ?: "",
               spec->flags & SETTING_RESTART ? "; applied on restart" : "; applied on reload",
               spec->flags & SETTING_SECRET ? "; secret" : "",
               spec->flags & SETTING_REQUIRED_PRODUCTION ? "; required in production and staging" : "");
        printf("\\&");
        roff(spec->help ?: "");
        printf("\n");
}

static void man(Doc *d) {
        printf(".TH ROUNDTABLE.CONF 5 \"\" roundtable\n.SH NAME\nroundtable.conf, workers/*.conf \\- settings of "
               "roundtable\n"
               ".SH DESCRIPTION\nBoth are libconfig files. A dotted name below is a key in groups: log.level is\n.nf\n "
               "   log = { level = \"info\"; };\n.fi\n"
               "Durations and sizes are strings with units (\"30 s\", \"64 MiB\"). The environment file and, above it, "
               "the environment win over both "
               "files; an empty variable counts as unset. Keys under worker may be set for one family by the bare key "
               "in workers/FAMILY.conf.\n"
               ".SH ROUNDTABLE.CONF\n");
        settings_visit(d->settings, man_row, d);
        for (const FamilyManifest *const *f = family_manifests; *f; f++) {
                if (str_eq((*f)->name, "testing"))
                        continue;
                d->family = (*f)->name;
                printf(".SH WORKERS/%s.CONF\n", d->family);
                settings_visit(d->settings, man_row, d);
        }
        printf(".SH SEE ALSO\n.BR roundtable (8)\n");
}

int main(int argc, char **argv) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        SettingsSource source = { .conf_dir = "/nonexistent" };
        _cleanup_settings_ Settings *s = NULL;
        Doc d = { .mode = argc > 1 ? argv[1] : "" };

        if (settings_load(&source, family_manifests, &s, &problems) < 0)
                return 1;
        d.settings = s;
        if (str_eq(d.mode, "man"))
                man(&d);
        else if (str_eq(d.mode, "environment")) {
                printf("# Variables of the original service, read by roundtable at start and on reload. They win over "
                       "roundtable.conf(5).\n");
                settings_visit(s, environment_row, &d);
                for (const FamilyManifest *const *f = family_manifests; *f; f++) {
                        d.family = (*f)->name;
                        settings_visit(s, environment_row, &d);
                }
        } else if (str_eq(d.mode, "conf") || (str_eq(d.mode, "family") && argc > 2 && family_manifest_find(argv[2]))) {
                d.family = str_eq(d.mode, "family") ? argv[2] : NULL;
                printf("# Every setting with its default. See roundtable.conf(5); check with: roundtable config "
                       "check\n\n");
                settings_visit(s, conf_row, &d);
                move_to(&d, NULL);
        } else
                return 2;
        return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
