#pragma once

/* Settings: one table of rows drives parsing, `config check`, `config show`, the man page and the example files.
 *
 * Sources, low to high: the row's default; conf/roundtable.conf; for `worker.*` and family rows the family's file
 * conf/workers/<family>.conf; the environment file; the environment. All problems are collected, none is fatal by
 * itself. A Settings object is immutable after loading and may be read from any thread.
 *
 * Names are dotted paths:
 *   common rows       "service_name", "database.host", "redis.url", "kafka.brokers", "statsd.port", "log.level", …
 *   worker rows       "worker.max_concurrent_running_tasks": in roundtable.conf under `worker = {…}` for all families,
 *                     overridden by the bare key at the top of a family's file
 *   family rows       "market.<key>": the bare key in workers/market.conf
 *   task rows         "market.tasks.<task>.enabled|interval|lock_multiplier|max_run": `tasks = { <task> = {…} }`
 * The full table: settings_table.c (common, worker rows) and each family's manifest. */

#include <jansson.h>

#include "common/error.h"
#include "common/manifest.h"
#include "common/util.h"

typedef struct Settings Settings;

typedef struct SettingsSource {
        const char *conf_dir;        /* directory of roundtable.conf and workers/ ; NULL: built-in /etc/roundtable */
        const char *const *environ;  /* "NAME=value" list, NULL-terminated; NULL: none */
        const char *env_dir;         /* --env-dir: the original's .env files are merged below `environ`; or NULL */
        bool read_environment_file;  /* read the file that `environment_file` names (absent: fine for the default) */
        const char *credentials_dir; /* $CREDENTIALS_DIRECTORY or NULL */
        bool require_files;          /* a missing roundtable.conf is a problem */
        bool all_families;           /* the manifests are all there are: a file for another family is a problem */
} SettingsSource;

typedef struct SettingsProblem {
        char *file; /* or NULL; "environment" for a variable */
        int line;   /* 0: none */
        char *key;  /* dotted path, or the environment name */
        char *text;
        char *hint;
        bool warning; /* does not make the settings invalid (environment overrides a conf line) */
} SettingsProblem;

typedef struct SettingsProblems {
        SettingsProblem *items;
        size_t n;
} SettingsProblems;

/* Loads everything for `manifests` (NULL-terminated). Returns 0 when there is no problem but warnings, -EBADMSG when
 * there is (then *ret is not written; `problems` lists all), -ENOMEM. `problems` must be zeroed by the caller, who
 * calls settings_problems_done(). */
int settings_load(const SettingsSource *source, const FamilyManifest *const *manifests, Settings **ret,
                  SettingsProblems *problems);
Settings *settings_free(Settings *s);
DEFINE_CLEANUP(Settings, settings_free)
#define _cleanup_settings_ _cleanup_(settings_freep)
void settings_problems_done(SettingsProblems *p);
/* "FILE:LINE: KEY: text" + "\n  HINT: hint\n" for each. Newly allocated. */
char *settings_problems_format(const SettingsProblems *p);

/* The sources of a program that a person or a unit started: the files of conf_dir (NULL: the built-in one, then none
 * needs to be there), .env files of env_dir (or NULL), the environment file, the environment, credentials. Borrows
 * both. */
SettingsSource settings_process_source(const char *conf_dir, const char *env_dir);
/* settings_load() for a command: prints on stderr what is wrong, and with `warnings` what is merely odd. */
int settings_process_load(const SettingsSource *source, const FamilyManifest *const *manifests, bool warnings,
                          Settings **ret);

/* Typed look-ups by full name. An unknown name or a wrong type is our own mistake: assert(). Strings are borrowed. */
const char *settings_string(const Settings *s, const char *name); /* NULL when unset and without default */
bool settings_bool(const Settings *s, const char *name);
int64_t settings_int(const Settings *s, const char *name); /* also sizes, in bytes */
double settings_number(const Settings *s, const char *name);
uint64_t settings_duration_usec(const Settings *s, const char *name);
/* A worker row as it holds for `family` ("worker.pg_pool_max" with the family's override). */
int64_t settings_worker_int(const Settings *s, const char *family, const char *name);
uint64_t settings_worker_duration_usec(const Settings *s, const char *family, const char *name);
const char *settings_worker_string(const Settings *s, const char *family, const char *name);
bool settings_worker_bool(const Settings *s, const char *family, const char *name);
/* Task rows: "market", "market_updater", "interval". */
bool settings_task_bool(const Settings *s, const char *family, const char *task, const char *key);
int64_t settings_task_int(const Settings *s, const char *family, const char *task, const char *key);
uint64_t settings_task_duration_usec(const Settings *s, const char *family, const char *task, const char *key);

const char *settings_task_string(const Settings *s, const char *family, const char *task, const char *key);
/* The items of a list, split as the original does: at each comma, untrimmed, empty ones kept. `*cursor` is NULL at
 * first. Returns false when there is no more. Items are borrowed and not NUL-terminated. */
bool settings_list_next(const Settings *s, const char *name, const char **cursor, const char **ret, size_t *ret_length);

/* Where a value came from: "default", "/etc/roundtable/roundtable.conf:12", "environment PG_POOL_MAX",
 * "/etc/default/roundtable:3". Borrowed. */
const char *settings_origin(const Settings *s, const char *name);
/* The value as text a person would write in the file ("30 s"); secrets are "********" when mask. New string. */
char *settings_format_value(const Settings *s, const char *name, bool mask);
/* Calls back for every row in table order, `name` full. */
typedef void (*SettingsVisitor)(const char *name, const SettingSpec *spec, void *userdata);
void settings_visit(const Settings *s, SettingsVisitor visitor, void *userdata);

/* The variables that the original would find in the .env files of `dir` (runtime specification, section 5.2), merged,
 * for a given NODE_ENV (or NULL). Calls back for each, in no particular order; all is borrowed. 0 or -ENOMEM; what
 * cannot be read is among the problems. */
typedef void (*SettingsVariableVisitor)(const char *name, const char *value, const char *file, int line,
                                        void *userdata);
int settings_env_dir_visit(const char *dir, const char *node_env, SettingsVariableVisitor visitor, void *userdata,
                           SettingsProblems *problems);

/* What one worker gets: worker rows resolved for the family, the common rows and the family's own; secrets only when
 * its manifest names them. Two equal documents mean that the worker need not be restarted. New reference. */
json_t *settings_to_worker_json(const Settings *s, const FamilyManifest *manifest);
/* Files and directories that settings of this worker name and that it opens itself (a CA file): what its sandbox must
 * leave readable. NULL-terminated; the array is newly allocated, its strings are borrowed. NULL: out of memory. */
const char **settings_worker_paths(const Settings *s, const FamilyManifest *manifest);
/* The other end, in the worker. */
int settings_from_worker_json(const json_t *document, const FamilyManifest *manifest, Settings **ret, Error *reterr);
