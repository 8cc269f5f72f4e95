/* What is looked at once all sources have been read: passwords from files and credentials, values that depend on each
 * other, and what production demands. */

#include <ctype.h>
#include <stdio.h>

#include "common/settings_internal.h"

enum { PASSWORD_FILE_MAX = 4096 };

/* The first line of the file. */
static int read_secret(const char *path, char **ret) {
        char *text = NULL;
        size_t length;
        int r;

        r = settings_read_file(path, PASSWORD_FILE_MAX, &text, &length);
        if (r < 0)
                return r;
        if (memchr(text, '\0', length)) {
                free(text);
                return -EBADMSG;
        }
        text[strcspn(text, "\r\n")] = '\0';
        *ret = text;
        return 0;
}

/* The password goes into the URL, percent-encoded, unless the URL has one of its own. */
static int merge_password(SettingRow *row, const char *password) {
        _cleanup_buffer_ Buffer b = { 0 };
        const char *url = row->value.text, *sep = url ? strstr(url, "://") : NULL, *host, *at;
        size_t user;
        char *merged;

        if (!sep || strncmp(url, "unix", 4) == 0)
                return -EOPNOTSUPP;
        host = sep + 3;
        at = memchr(host, '@', strcspn(host, "/?#"));
        user = at ? (size_t) (at - host) : 0;
        if (at && memchr(host, ':', user))
                return 0;
        (void) buffer_append(&b, url, (size_t) (host - url) + user);
        (void) buffer_append_string(&b, ":");
        for (const char *p = password; *p; p++)
                if (isalnum((unsigned char) *p) || strchr("-._~", *p))
                        (void) buffer_append(&b, p, 1);
                else
                        (void) buffer_printf(&b, "%%%02X", (unsigned char) *p);
        (void) buffer_append_string(&b, "@");
        (void) buffer_append_string(&b, at ? at + 1 : host);
        merged = buffer_take(&b);
        if (!merged)
                return -ENOMEM;
        free(row->value.text);
        row->value.text = merged;
        return 0;
}

static int password_found(SettingRow *row, SettingValue *v, const char *path, const char *key, SettingsProblems *p) {
        int r;

        if (row->spec->type != SETTING_URL)
                return setting_row_assign(row, v, path, 0, NULL);
        r = merge_password(row, v->text);
        if (r == -EOPNOTSUPP)
                return settings_problem(p, false, row->file, row->line, key,
                                        "write the password where the server is named by redis://",
                                        "has no place in a URL of a socket");
        return r;
}

static int apply_password_file(Settings *s, const char *file_key, const char *key, SettingsProblems *p) {
        SettingRow *file = settings_find(s, file_key), *row = settings_find(s, key);
        SettingValue v = { .set = true };
        int r;

        if (!file || !row || str_empty(file->value.text) || (row->env && row->spec->type != SETTING_URL))
                return 0;
        r = read_secret(file->value.text, &v.text);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return settings_problem(p, false, file->file, file->line, file_key,
                                        "make it readable for the user of the service", "cannot read %s: %s",
                                        file->value.text, strerror(-r));
        r = password_found(row, &v, file->value.text, file_key, p);
        setting_value_done(&v);
        return r;
}

static int apply_credential(const char *dir, const char *name, SettingRow *row, SettingsProblems *p) {
        _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
        SettingValue v = { .set = true };
        SettingRefusal refusal = { 0 };
        int r;

        if (!path)
                return -ENOMEM;
        if (row->env && !(row->spec->type == SETTING_URL && !str_eq(name, row->name)))
                return 0;
        r = read_secret(path, &v.text);
        if (r == -ENOENT || r == -ENOMEM)
                return r == -ENOENT ? 0 : r;
        if (r < 0)
                return settings_problem(p, false, path, 0, name, "see LoadCredential= in systemd.exec(5)",
                                        "cannot read the credential: %s", strerror(-r));
        if (str_eq(name, row->name)) {
                _cleanup_free_ char *text = TAKE_PTR(v.text);

                v = (SettingValue){ 0 };
                r = setting_parse_text(row->spec, text, &v, &refusal);
                if (r >= 0)
                        r = setting_row_assign(row, &v, path, 0, NULL);
                else if (r == -EINVAL)
                        r = settings_problem(p, false, path, 0, name, refusal.hint, "%s", refusal.text);
        } else
                r = password_found(row, &v, path, name, p);
        setting_value_done(&v);
        setting_refusal_done(&refusal);
        return r;
}

int settings_apply_passwords(Settings *s, const char *credentials_dir, SettingsProblems *p) {
        int r;

        for (size_t i = 0; !str_empty(credentials_dir) && i < s->n; i++)
                if (s->rows[i]->spec->flags & SETTING_SECRET) {
                        r = apply_credential(credentials_dir, s->rows[i]->name, s->rows[i], p);
                        if (r < 0)
                                return r;
                }
        if (!str_empty(credentials_dir)) {
                r = apply_credential(credentials_dir, "redis.password", settings_find(s, "redis.url"), p);
                if (r < 0)
                        return r;
        }
        r = apply_password_file(s, "database.password_file", "database.password", p);
        if (r >= 0)
                r = apply_password_file(s, "redis.password_file", "redis.url", p);
        if (r >= 0)
                r = apply_password_file(s, "kafka.sasl_password_file", "kafka.sasl_password", p);
        return r;
}

/* The first enabled task of the row's family that needs the row, or NULL. */
static const char *task_in_need(const Settings *s, const SettingRow *row) {
        for (size_t i = 0; i < s->n; i++) {
                const SettingRow *r = s->rows[i];

                if (r->family == row->family && r->task && r->value.integer &&
                    str_eq(r->spec->name + strlen(r->spec->name) - strlen(".enabled"), ".enabled") &&
                    (!row->spec->tasks || setting_choice_valid(row->spec->tasks, r->task->name)))
                        return r->task->name;
        }
        return NULL;
}

static int check_required(const Settings *s, const SettingRow *row, SettingsProblems *p) {
        _cleanup_free_ char *worker = NULL, *hint = NULL;
        const char *task;

        if (!(row->spec->flags & SETTING_TASK_REQUIRED) || row->problem || !row->family || row->value.set)
                return 0;
        worker = str_printf("%s.worker.enabled", row->family->name);
        if (!worker)
                return -ENOMEM;
        task = settings_find(s, worker)->value.integer ? task_in_need(s, row) : NULL;
        if (!task)
                return 0;
        hint = str_printf(
                "set it in workers/%s.conf%s%s, or switch the task off: tasks = { %s = { enabled = false; }; }",
                row->family->name, row->spec->env ? " or by the variable " : "", row->spec->env ?: "", task);
        return hint ? settings_problem(p, false, row->file, row->line, row->name, hint,
                                       "must be set because task %s is enabled", task)
                    : -ENOMEM;
}

static int check_worker(const Settings *s, const char *prefix, SettingsProblems *p) {
        _cleanup_free_ char *max = str_printf("%sworker.pg_pool_max", prefix),
                            *min = str_printf("%sworker.pg_pool_min", prefix);
        _cleanup_free_ char *stop = str_printf("%sworker.stop_timeout", prefix);
        const SettingRow *a, *b, *c, *limit = settings_find(s, "supervisor.stop_timeout");
        int r = 0;

        if (!max || !min || !stop)
                return -ENOMEM;
        a = settings_find(s, max);
        b = settings_find(s, min);
        c = settings_find(s, stop);
        if (!a->problem && !b->problem && b->value.integer > a->value.integer)
                r = settings_row_problem(str_eq(b->origin, "default") ? a : b, p, false,
                                         "lower pg_pool_min or raise pg_pool_max", "pg_pool_min is above pg_pool_max");
        if (r >= 0 && !c->problem && !limit->problem && c->value.integer > limit->value.integer)
                r = settings_row_problem(str_eq(c->origin, "default") ? limit : c, p, false,
                                         "lower worker.stop_timeout or raise supervisor.stop_timeout",
                                         "worker.stop_timeout is above supervisor.stop_timeout");
        return r;
}

int settings_cross_check(Settings *s, SettingsProblems *p) {
        const SettingRow *node_env = settings_find(s, "node_env");
        const char *env = node_env->value.text;
        int r;

        if (env && !setting_choice_valid("development|staging|production|test", env)) {
                r = settings_row_problem(node_env, p, false, "one of development, staging, production, test, or unset",
                                         "unknown node environment");
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < s->n; i++) {
                SettingRow *row = s->rows[i];

                if ((row->spec->flags & SETTING_REQUIRED_PRODUCTION) && !row->problem &&
                    (str_eq(env, "production") || str_eq(env, "staging")) &&
                    (str_eq(row->origin, "default") || !row->value.set)) {
                        r = settings_problem(p, false, NULL, 0, row->spec->env ?: row->name,
                                             "set it in roundtable.conf or in the environment",
                                             "%s must be set when node_env is %s", row->name, env);
                        if (r < 0)
                                return r;
                }
                r = check_required(s, row, p);
                if (r < 0)
                        return r;
                /* A family's worker rows are all there when its first one is. */
                if (row->family && str_eq(row->spec->name, "worker.enabled")) {
                        _cleanup_free_ char *prefix = str_printf("%s.", row->family->name);

                        r = prefix ? check_worker(s, prefix, p) : -ENOMEM;
                        if (r < 0)
                                return r;
                }
        }
        return s->n > 0 ? settings_check_kafka(s, p) : 0;
}

int settings_derive(Settings *s) {
        for (size_t i = 0; i < s->n; i++) {
                SettingRow *row = s->rows[i], *interval;
                _cleanup_free_ char *name = NULL;
                int64_t v, minute = INT64_C(60) * 1000000;

                if (!row->task || row->value.set || !strstr(row->spec->name, ".max_run"))
                        continue;
                name = str_printf("%s.tasks.%s.interval", row->family->name, row->task->name);
                if (!name)
                        return -ENOMEM;
                interval = settings_find(s, name);
                v = interval->value.integer > 6 * minute ? 60 * minute : interval->value.integer * 10;
                row->value = (SettingValue){ .set = true, .integer = v < 15 * minute ? 15 * minute : v };
        }
        return 0;
}
