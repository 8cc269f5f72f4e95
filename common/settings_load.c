/* The order of sources, low to high: defaults, roundtable.conf, families' files, password files and credentials, .env
 * files, the environment file, the environment. */

#include <dirent.h>
#include <stdio.h>

#include "build_paths.h"
#include "common/settings_internal.h"

/* What all families' workers share is the base of each family's own rows; called before the families' files are read
 * and once more for what the environment sets, which wins over both. */
static int spread_worker_rows(Settings *s, bool environment) {
        for (size_t i = 0; i < s->n; i++) {
                SettingRow *row = s->rows[i], *base;
                SettingValue v;
                int r;

                if (!row->worker || !row->family)
                        continue;
                base = settings_find(s, row->spec->name);
                if (environment ? !base->env : str_eq(base->origin, "default"))
                        continue;
                v = base->value;
                v.text = base->value.text ? strdup(base->value.text) : NULL;
                if (base->value.text && !v.text)
                        return -ENOMEM;
                r = setting_row_assign(row, &v, base->file, base->line, base->env);
                setting_value_done(&v);
                if (r < 0)
                        return r;
                row->problem = base->problem;
        }
        return 0;
}

static int warn_override(const SettingRow *row, const char *variable, SettingsProblems *p) {
        if (str_eq(row->origin, "default") || row->env || !row->file)
                return 0;
        return settings_problem(p, true, row->file, row->line, row->name, "remove one of the two",
                                "is overridden by the environment variable %s", variable);
}

/* A family's own line of a worker row is hidden too when the variable is set. */
static int warn_families(const Settings *s, const SettingRow *base, SettingsProblems *p) {
        for (size_t i = 0; base->worker && i < s->n; i++) {
                const SettingRow *row = s->rows[i];
                int r;

                if (!row->worker || !row->family || !str_eq(row->spec->name, base->name))
                        continue;
                /* Inherited from `base`: that line has its own warning. */
                if (str_eq(row->origin, base->origin))
                        continue;
                r = warn_override(row, base->spec->env, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_apply_environment(Settings *s, const Environment *e, SettingsProblems *p) {
        for (size_t i = 0; i < s->n; i++) {
                SettingRow *row = s->rows[i];
                const EnvironmentVariable *v;
                SettingValue value = { 0 };
                SettingRefusal refusal = { 0 };
                int r;

                if (!row->spec->env || (row->worker && row->family))
                        continue;
                v = environment_find(e, row->spec->env);
                if (!v || !*v->value)
                        continue;
                r = setting_parse_environment(row->spec, v->value, &value, &refusal);
                if (r >= 0)
                        r = setting_check_range(row->spec, &value, &refusal);
                if (r == -EINVAL) {
                        row->problem = true;
                        r = settings_problem(p, false, v->file ?: "environment", v->line, row->spec->env, refusal.hint,
                                             "%s", refusal.text);
                } else if (r >= 0) {
                        r = warn_families(s, row, p);
                        if (r >= 0)
                                r = warn_override(row, row->spec->env, p);
                        if (r >= 0)
                                r = setting_row_assign(row, &value, v->file, v->line, row->spec->env);
                }
                setting_value_done(&value);
                setting_refusal_done(&refusal);
                if (r < 0)
                        return r;
        }
        return spread_worker_rows(s, true);
}

/* A file for a family that this build does not have would be read by nobody. */
static int check_stray_files(const char *dir, const FamilyManifest *const *manifests, SettingsProblems *p) {
        _cleanup_free_ char *path = str_printf("%s/workers", dir);
        struct dirent *entry;
        int r = 0;
        DIR *d;

        if (!path)
                return -ENOMEM;
        d = opendir(path);
        while (d && r >= 0 && (entry = readdir(d))) {
                const char *dot = strrchr(entry->d_name, '.');
                const FamilyManifest *const *f = manifests;
                _cleanup_free_ char *file = NULL;
                size_t length;

                if (!dot || dot == entry->d_name || !str_eq(dot, ".conf"))
                        continue;
                length = (size_t) (dot - entry->d_name);
                while (f && *f && (strlen((*f)->name) != length || memcmp((*f)->name, entry->d_name, length) != 0))
                        f++;
                if (f && *f)
                        continue;
                file = str_printf("%s/%s", path, entry->d_name);
                r = file ? settings_problem(p, false, file, 0, NULL, "rename or remove the file",
                                            "there is no family of this name")
                         : -ENOMEM;
        }
        if (d)
                (void) closedir(d);
        return r;
}

static int load_files(Settings *s, const SettingsSource *source, const FamilyManifest *const *manifests,
                      SettingsProblems *p) {
        const char *dir = source->conf_dir ?: ROUNDTABLE_SYSCONFDIR;
        _cleanup_free_ char *path = str_printf("%s/roundtable.conf", dir);
        int r;

        if (!path)
                return -ENOMEM;
        r = settings_file_load(s, path, NULL, source->require_files, p);
        if (r >= 0)
                r = spread_worker_rows(s, false);
        for (const FamilyManifest *const *f = manifests; r >= 0 && f && *f; f++) {
                _cleanup_free_ char *family = str_printf("%s/workers/%s.conf", dir, (*f)->name);

                r = family ? settings_file_load(s, family, *f, false, p) : -ENOMEM;
        }
        return r >= 0 && source->all_families ? check_stray_files(dir, manifests, p) : r;
}

static int load_environment(Settings *s, const SettingsSource *source, Environment *e, SettingsProblems *p) {
        const SettingRow *file = settings_find(s, "environment_file");
        int r;

        r = environment_add_list(e, source->environ);
        if (r >= 0 && source->read_environment_file && !str_empty(file->value.text))
                r = environment_add_file(e, file->value.text, !str_eq(file->value.text, file->spec->fallback), p);
        if (r >= 0 && source->env_dir)
                r = environment_add_env_dir(e, source->env_dir, p);
        return r < 0 ? r : settings_apply_environment(s, e, p);
}

int settings_load(const SettingsSource *source, const FamilyManifest *const *manifests, Settings **ret,
                  SettingsProblems *problems) {
        _cleanup_settings_ Settings *s = NULL;
        _cleanup_(environment_done) Environment e = { 0 };
        int r;

        r = settings_new(manifests, &s);
        if (r >= 0)
                r = load_files(s, source, manifests, problems);
        if (r >= 0)
                r = load_environment(s, source, &e, problems);
        if (r >= 0)
                r = settings_apply_passwords(s, source->credentials_dir, problems);
        if (r >= 0)
                r = settings_derive(s);
        if (r >= 0)
                r = settings_cross_check(s, problems);
        if (r < 0)
                return r;
        for (size_t i = 0; i < problems->n; i++)
                if (!problems->items[i].warning)
                        return -EBADMSG;
        *ret = TAKE_PTR(s);
        return 0;
}
