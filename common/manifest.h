#pragma once

/* What a family declares, as data only: linked into the supervisor and into the worker. The functions that run the
 * tasks are bound to these names in workers/<family>/family.c, which only the worker links. */

#include "common/util.h"

typedef enum SettingType {
        SETTING_STRING,
        SETTING_BOOL,
        SETTING_INT,
        SETTING_NUMBER,
        SETTING_DURATION, /* "30 s", "250 ms", "2 min", "1 h", "30 d" in files; value in usec */
        SETTING_SIZE,     /* "64 MiB"; bytes */
        SETTING_URL,
        SETTING_PATH,
        SETTING_ENUM, /* one of `choices` */
        SETTING_LIST, /* texts without commas: ["a", "b"] or "a,b" in files, a,b in variables */
} SettingType;

typedef enum SettingFlags {
        SETTING_RESTART = 1 << 0,             /* the supervisor itself must be restarted; else a reload is enough */
        SETTING_SECRET = 1 << 1,              /* masked; only families that name it get it */
        SETTING_REQUIRED_PRODUCTION = 1 << 2, /* when NODE_ENV is production or staging */
        SETTING_SUPERVISOR = 1 << 3,          /* not handed to workers */
        SETTING_TASK_REQUIRED = 1 << 4,       /* must be set while one of `tasks` is enabled; family rows only */
} SettingFlags;

typedef enum SettingEnvUnit {
        SETTING_ENV_PLAIN,
        SETTING_ENV_MSEC, /* a duration given in milliseconds by the original's variable */
        SETTING_ENV_SEC,
} SettingEnvUnit;

typedef struct SettingSpec {
        const char *name; /* dotted; relative to the family for family rows. NULL ends a table */
        SettingType type;
        const char *fallback;  /* default, as written in a file ("30 s", "2", "true"); NULL: unset */
        const char *min, *max; /* as written in a file; NULL: the type's own limits */
        const char *env;       /* the original's variable, or NULL */
        SettingEnvUnit env_unit;
        unsigned flags;
        const char *choices; /* SETTING_ENUM: "a|b|c" */
        const char *tasks;   /* SETTING_TASK_REQUIRED: "task|task", or NULL for any of the family */
        const char *help;    /* one or two sentences for man page and example file */
} SettingSpec;

typedef enum TaskClass { TASK_SHORT, TASK_LONG } TaskClass;

typedef struct TaskSpec {
        const char *name; /* as in Redis keys and metrics. NULL ends a table */
        TaskClass class;
        const char *enabled_env; /* NULL: the original has none */
        bool enabled;
        const char *interval_env;
        const char *interval;       /* default, "30 s" */
        const char *multiplier_env; /* NULL: the original takes no extended lock */
        int multiplier;             /* 0: none in the original; ours is then 60 s */
        const char *help;
} TaskSpec;

typedef struct FamilyManifest {
        const char *name;
        const char *help;
        const TaskSpec *tasks;       /* alphabetical */
        const SettingSpec *settings; /* family rows; may be NULL */
        const char *const *secrets;  /* full names of secret rows that its workers get; NULL-terminated, or NULL */
        const char *development;     /* text of its settings file under `roundtable dev`, or NULL */
} FamilyManifest;

/* TTL of the extended lock, in usec: interval * multiplier, or 60 s without one (design, section 5). */
static inline uint64_t task_extended_ttl_usec(uint64_t interval_usec, int64_t multiplier) {
        return multiplier > 0 ? interval_usec * (uint64_t) multiplier : 60 * USEC_PER_SEC;
}
