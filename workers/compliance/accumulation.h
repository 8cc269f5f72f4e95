#pragma once

/* Windowed accumulation: fills are added up window by window behind a checkpoint in persistent_cache that moves in the
 * same transaction, so that each fill is counted once whatever is killed and whoever runs (compliance specification,
 * section 5). */

#include "workers/task.h"

typedef struct Accumulation {
        const char *key;           /* in persistent_cache, and of the advisory lock */
        const char *default_start; /* without a checkpoint */
        /* Parameters: window start and end. Result: fills counted, rows changed, whether one is no number. */
        const SqlStatement *add;
        /* The same parameters. Result: id and contents of a fill that `add` reads and that makes a sum no number. */
        const SqlStatement *find_bad;
        bool refresh;         /* whether `add` is also run where no time has passed: it does more than adding */
        const char *at;       /* the original's tag, and its messages */
        const char *updating; /* … from <start> to <end> */
        const char *failed;
        const char *txn_timing; /* metric of a transaction that was committed, or NULL */
} Accumulation;

/* Adds one window after another until the latest block is reached (0), or for compliance.slice (TASK_MORE). */
int accumulation_run(TaskContext *ctx, const Accumulation *a);
