#pragma once

/* `roundtable-worker --run TASK`: one run in the foreground, without a supervisor (design, section 2). */

#include "common/util.h"

typedef struct RunOptions {
        const char *task;
        const char *conf_dir; /* NULL: the built-in one */
        const char *env_dir;  /* or NULL */
        bool wait;            /* wait for a held lock or a pause instead of exiting 75 */
        bool no_lock;         /* take and set no lock at all */
        bool force;           /* go ahead although R is there */
        bool dry_run;         /* print instead of doing */
        bool json;            /* the `task finished` record on stdout instead of a line for people */
        unsigned pages;       /* slices of a dry run; 0: 1 */
} RunOptions;

/* Returns the exit code: 0 done, 1 failed, 2 no such task, 75 locked or paused, 78 bad settings. Call before any thread
 * was started. The result is told in a line on stdout, everything else on stderr; the journal, where there is one, gets
 * the records too. */
int run_main(const RunOptions *options);
/* The same from the words behind `--run`; argv[0] is `--run` itself. */
int run_command(int argc, char **argv);
