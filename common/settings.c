/* The table of settings as it stands for one load: rows of the common table, worker rows once for all families and once
 * per family, each family's rows and its tasks' rows. Look-ups are by full name; a wrong one is our own mistake. */

#include <assert.h>
#include <stdio.h>

#include "common/settings_internal.h"
#include "common/settings_table.h"

static SettingRow *row_free(SettingRow *row) {
        if (!row)
                return NULL;
        setting_value_done(&row->value);
        free(row->name);
        free(row->own_name);
        free(row->origin);
        free(row->file);
        free(row);
        return NULL;
}

Settings *settings_free(Settings *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n; i++)
                row_free(s->rows[i]);
        free(s->rows);
        free(s);
        return NULL;
}

static SettingRow *row_add(Settings *s, const FamilyManifest *family, const SettingSpec *spec) {
        SettingRow *row, **rows;

        rows = realloc(s->rows, (s->n + 1) * sizeof(*rows));
        if (!rows)
                return NULL;
        s->rows = rows;
        row = calloc(1, sizeof(*row));
        if (!row)
                return NULL;
        row->family = family;
        row->spec = spec;
        row->name = family ? str_printf("%s.%s", family->name, spec->name) : strdup(spec->name);
        row->origin = strdup("default");
        if (!row->name || !row->origin) {
                row_free(row);
                return NULL;
        }
        s->rows[s->n++] = row;
        return row;
}

static int rows_add(Settings *s, const FamilyManifest *family, const SettingSpec *specs, bool worker) {
        for (const SettingSpec *spec = specs; spec && spec->name; spec++) {
                SettingRow *row = row_add(s, family, spec);

                if (!row)
                        return -ENOMEM;
                row->worker = worker;
        }
        return 0;
}

static int task_row_add(Settings *s, const FamilyManifest *family, const TaskSpec *task, const SettingSpec *pattern) {
        SettingRow *row;
        SettingSpec spec = *pattern;
        char *name;

        name = str_printf("tasks.%s.%s", task->name, pattern->name);
        if (!name)
                return -ENOMEM;
        spec.name = name;
        row = row_add(s, family, &spec);
        if (!row) {
                free(name);
                return -ENOMEM;
        }
        row->own_name = name;
        row->own = spec;
        row->spec = &row->own;
        row->task = task;
        return 0;
}

static int task_rows_add(Settings *s, const FamilyManifest *family, const TaskSpec *task) {
        const SettingSpec patterns[] = {
                { "enabled", SETTING_BOOL, task->enabled ? "true" : "false", .env = task->enabled_env,
                  .help = "Whether the task runs." },
                { "interval", SETTING_DURATION, task->interval, "10 ms", "366 d", .env = task->interval_env,
                  .env_unit = SETTING_ENV_MSEC, .help = "Time from one start to the next, among all hosts." },
                { "lock_multiplier", SETTING_INT, NULL, "0", "100000", .env = task->multiplier_env,
                  .help = "The extended lock lives for interval * lock_multiplier; 0: as in the original without one, "
                          "60 s." },
                { "max_run", SETTING_DURATION, NULL, "1 s", "24 h",
                  .help = "Deadline of a run. Default: 10 * interval, at least 15 min, at most 1 h." },
                { "class", SETTING_ENUM, task->class == TASK_LONG ? "long" : "short", .choices = "short|long",
                  .help = "With two or more slots one is kept for short tasks." },
        };

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                int r = task_row_add(s, family, task, &patterns[i]);
                if (r < 0)
                        return r;
                /* The one default that is a number in the manifest: it is set at once. */
                if (str_eq(patterns[i].name, "lock_multiplier"))
                        s->rows[s->n - 1]->value = (SettingValue){ .set = true, .integer = task->multiplier };
        }
        return 0;
}

static int defaults_set(Settings *s) {
        for (size_t i = 0; i < s->n; i++) {
                SettingRow *row = s->rows[i];
                SettingRefusal refusal = { 0 };
                int r;

                if (!row->spec->fallback)
                        continue;
                r = setting_parse_text(row->spec, row->spec->fallback, &row->value, &refusal);
                setting_refusal_done(&refusal);
                if (r == -ENOMEM)
                        return r;
                assert(r == 0); /* a default that does not parse is a mistake in the table */
        }
        return 0;
}

int settings_new(const FamilyManifest *const *manifests, Settings **ret) {
        _cleanup_settings_ Settings *s = NULL;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        r = rows_add(s, NULL, settings_common_table, false);
        if (r >= 0)
                r = rows_add(s, NULL, settings_worker_table, true);
        for (const FamilyManifest *const *f = manifests; r >= 0 && f && *f; f++) {
                r = rows_add(s, *f, settings_worker_table, true);
                if (r >= 0)
                        r = rows_add(s, *f, (*f)->settings, false);
                for (const TaskSpec *t = (*f)->tasks; r >= 0 && t && t->name; t++)
                        r = task_rows_add(s, *f, t);
        }
        if (r >= 0)
                r = defaults_set(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

SettingRow *settings_find(const Settings *s, const char *name) {
        for (size_t i = 0; i < s->n; i++)
                if (strcmp(s->rows[i]->name, name) == 0)
                        return s->rows[i];
        return NULL;
}

int setting_row_assign(SettingRow *row, SettingValue *value, const char *file, int line, const char *env) {
        _cleanup_free_ char *origin = NULL, *copy = NULL;

        origin = env && !file ? str_printf("environment %s", env)
                 : line > 0   ? str_printf("%s:%d", file, line)
                              : strdup(file);
        copy = file ? strdup(file) : NULL;
        if (!origin || (file && !copy))
                return -ENOMEM;
        setting_value_done(&row->value);
        row->value = *value;
        *value = (SettingValue){ 0 };
        free(row->origin);
        free(row->file);
        row->origin = TAKE_PTR(origin);
        row->file = TAKE_PTR(copy);
        row->line = line;
        row->env = env;
        return 0;
}

static const SettingRow *get(const Settings *s, const char *name) {
        const SettingRow *row = settings_find(s, name);

        assert(row);
        return row;
}

const char *settings_string(const Settings *s, const char *name) {
        const SettingRow *row = get(s, name);

        assert(row->spec->type == SETTING_STRING || row->spec->type >= SETTING_URL);
        return row->value.text;
}

bool settings_bool(const Settings *s, const char *name) {
        const SettingRow *row = get(s, name);

        assert(row->spec->type == SETTING_BOOL);
        return row->value.integer != 0;
}

int64_t settings_int(const Settings *s, const char *name) {
        const SettingRow *row = get(s, name);

        assert(row->spec->type == SETTING_INT || row->spec->type == SETTING_SIZE);
        return row->value.integer;
}

double settings_number(const Settings *s, const char *name) {
        const SettingRow *row = get(s, name);

        assert(row->spec->type == SETTING_NUMBER);
        return row->value.number;
}

uint64_t settings_duration_usec(const Settings *s, const char *name) {
        const SettingRow *row = get(s, name);

        assert(row->spec->type == SETTING_DURATION);
        return (uint64_t) row->value.integer;
}

/* The family's own row of a worker row. */
static const char *worker_name(const char *family, const char *name, char *buf, size_t size) {
        int n = snprintf(buf, size, "%s.%s", family, name);

        assert(n > 0 && (size_t) n < size);
        return buf;
}

int64_t settings_worker_int(const Settings *s, const char *family, const char *name) {
        char buf[256];

        return settings_int(s, worker_name(family, name, buf, sizeof(buf)));
}

uint64_t settings_worker_duration_usec(const Settings *s, const char *family, const char *name) {
        char buf[256];

        return settings_duration_usec(s, worker_name(family, name, buf, sizeof(buf)));
}

const char *settings_worker_string(const Settings *s, const char *family, const char *name) {
        char buf[256];

        return settings_string(s, worker_name(family, name, buf, sizeof(buf)));
}

bool settings_worker_bool(const Settings *s, const char *family, const char *name) {
        char buf[256];

        return settings_bool(s, worker_name(family, name, buf, sizeof(buf)));
}

static const char *task_name(const char *family, const char *task, const char *key, char *buf, size_t size) {
        int n = snprintf(buf, size, "%s.tasks.%s.%s", family, task, key);

        assert(n > 0 && (size_t) n < size);
        return buf;
}

bool settings_task_bool(const Settings *s, const char *family, const char *task, const char *key) {
        char buf[256];

        return settings_bool(s, task_name(family, task, key, buf, sizeof(buf)));
}

int64_t settings_task_int(const Settings *s, const char *family, const char *task, const char *key) {
        char buf[256];

        return settings_int(s, task_name(family, task, key, buf, sizeof(buf)));
}

uint64_t settings_task_duration_usec(const Settings *s, const char *family, const char *task, const char *key) {
        char buf[256];

        return settings_duration_usec(s, task_name(family, task, key, buf, sizeof(buf)));
}

const char *settings_task_string(const Settings *s, const char *family, const char *task, const char *key) {
        char buf[256];

        return settings_string(s, task_name(family, task, key, buf, sizeof(buf)));
}

bool settings_list_next(const Settings *s, const char *name, const char **cursor, const char **ret,
                        size_t *ret_length) {
        const SettingRow *row = get(s, name);
        const char *p = *cursor ?: row->value.text;

        assert(row->spec->type == SETTING_LIST);
        if (!p || (*cursor && *p == '\0'))
                return false;
        if (*cursor)
                p++; /* the comma that ended the last item */
        *ret = p;
        *ret_length = strcspn(p, ",");
        *cursor = p + *ret_length;
        return true;
}

const char *settings_origin(const Settings *s, const char *name) {
        return get(s, name)->origin;
}

void settings_visit(const Settings *s, SettingsVisitor visitor, void *userdata) {
        for (size_t i = 0; i < s->n; i++)
                visitor(s->rows[i]->name, s->rows[i]->spec, userdata);
}
