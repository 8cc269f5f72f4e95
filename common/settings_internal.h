#pragma once

/* What the files common/settings*.c share; nobody else includes this. */

#include "common/settings.h"

typedef struct SettingValue {
        bool set;
        char *text;      /* strings, URLs, paths, enums */
        int64_t integer; /* integers, sizes in bytes, durations in usec, booleans as 0 or 1 */
        double number;
} SettingValue;

typedef struct SettingRow {
        char *name;                   /* full */
        const FamilyManifest *family; /* NULL: a common row */
        bool worker;                  /* a worker row, of all families or of `family` */
        const TaskSpec *task;         /* task rows only */
        const SettingSpec *spec;
        SettingSpec own; /* what `spec` points to for task rows */
        char *own_name;
        SettingValue value;
        char *origin;
        /* Where the value stands, for later problems with it. */
        char *file;
        int line;
        const char *env; /* the variable that gave it, or NULL */
        bool env_given;  /* the variable was set, even if to a bad value */
        bool problem;    /* already reported: no cross-checks */
} SettingRow;

struct Settings {
        SettingRow **rows;
        size_t n;
};

/* Why a text was refused. */
typedef struct SettingRefusal {
        char *text;
        char *hint;
} SettingRefusal;

typedef struct EnvironmentVariable {
        char *name;
        char *value;
        char *file; /* NULL: the process environment */
        int line;
} EnvironmentVariable;

typedef struct Environment {
        EnvironmentVariable *items;
        size_t n;
} Environment;

/* settings.c */
int settings_new(const FamilyManifest *const *manifests, Settings **ret);
SettingRow *settings_find(const Settings *s, const char *name);
/* Takes over `value`; remembers where it came from. `env` is NULL for a file's value. */
int setting_row_assign(SettingRow *row, SettingValue *value, const char *file, int line, const char *env);
#define SETTINGS_PROBLEMS_MAX 1000 /* no more are kept */
int settings_problem(SettingsProblems *p, bool warning, const char *file, int line, const char *key, const char *hint,
                     const char *format, ...) _printf_(7, 8);
/* A problem with the value of a row, told where that value stands. */
int settings_row_problem(const SettingRow *row, SettingsProblems *p, bool warning, const char *hint, const char *format,
                         ...) _printf_(5, 6);
/* The key nearest to `key` as it is written in the family's file (NULL: roundtable.conf), of as many parts; a new
 * string, or NULL when none is near. */
char *settings_nearest(const Settings *s, const FamilyManifest *family, const char *key);

/* settings_parse.c. All return 0, -EINVAL with `refusal` filled, or -ENOMEM; none depends on the locale. */
void setting_value_done(SettingValue *v);
void setting_refusal_done(SettingRefusal *r);
int setting_refuse(SettingRefusal *r, const char *hint, const char *format, ...) _printf_(3, 4);
/* As written in a file, as a default or a bound. */
int setting_parse_text(const SettingSpec *spec, const char *text, SettingValue *ret, SettingRefusal *refusal);
int setting_check_range(const SettingSpec *spec, const SettingValue *v, SettingRefusal *refusal);
/* By the original's rules for variables. The text is not empty. */
int setting_parse_environment(const SettingSpec *spec, const char *text, SettingValue *ret, SettingRefusal *refusal);
/* settings_number.c: ECMAScript's Number(text); NaN for what is none. */
double settings_ecmascript_number(const char *text);
bool setting_choice_valid(const char *choices, const char *text);

/* settings_file.c */
int settings_read_file(const char *path, size_t limit, char **ret, size_t *ret_length);
/* Reads one libconfig file; family is NULL for roundtable.conf. Absent: fine unless required. */
int settings_file_load(Settings *s, const char *path, const FamilyManifest *family, bool required, SettingsProblems *p);
/* settings_scan.c: what libconfig does wrong silently or by ending the process. Sets *ret_ok to whether libconfig may
 * see it. */
int settings_scan(const char *path, const char *text, size_t length, const char *include_dir, unsigned depth,
                  SettingsProblems *p, bool *ret_ok);

/* settings_environment.c. Values added first win, even when empty. */
int environment_add(Environment *e, const char *name, size_t name_length, const char *value, const char *file,
                    int line);
int environment_add_list(Environment *e, const char *const *list);
int environment_add_file(Environment *e, const char *path, bool required, SettingsProblems *p);
int environment_add_env_dir(Environment *e, const char *dir, SettingsProblems *p);
const EnvironmentVariable *environment_find(const Environment *e, const char *name);
void environment_done(Environment *e);
int settings_apply_environment(Settings *s, const Environment *e, SettingsProblems *p);

/* settings_check.c */
int settings_apply_passwords(Settings *s, const char *credentials_dir, SettingsProblems *p);
int settings_cross_check(Settings *s, SettingsProblems *p);
/* settings_kafka.c: the list of brokers, and what of security belongs together. */
int settings_check_kafka(const Settings *s, SettingsProblems *p);
/* Fills the values that depend on others (max_run). */
int settings_derive(Settings *s);
