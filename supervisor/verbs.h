#pragma once

/* Verbs about settings. Each gets its own name as argv[0] and returns an exit code. */

#include "common/settings.h"

typedef struct SettingsOptions {
        const char *conf_dir; /* --conf DIR; NULL: the built-in one */
        const char *env_dir;  /* --env-dir DIR or NULL */
        bool json;            /* --json */
} SettingsOptions;

int verb_config(int argc, char **argv);     /* config check|show [--json] */
int verb_import_env(int argc, char **argv); /* import-env DIR [--node-env NAME] [--output FILE [--force]] */
int verb_list(int argc, char **argv);       /* list [--json] */

/* Reads files, environment file, environment and credentials for all families and prints every problem to stderr.
 * Returns an exit code; *ret is written only with 0. */
int settings_load_for_cli(const SettingsOptions *options, Settings **ret);
/* Reads --conf, --env-dir and --json. Leaves optind at the first other argument. -EINVAL: wrong usage. */
int settings_options_parse(int argc, char **argv, SettingsOptions *ret);
