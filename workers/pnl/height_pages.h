#pragma once

/* What update-funding-payments and update-pnl have in common: heights behind a checkpoint in persistent_cache, worked
 * off in ascending order, several of them in one transaction with the checkpoint (PnL specification, sections 2.1
 * and 3.1).
 *
 * A transaction begins with one height and doubles as long as it writes less than pnl.transaction_rows rows; when
 * several heights fail together they are tried one by one, so that the one that cannot be done is named and all before
 * it are. After pnl.slice of committed transactions the run makes way for others (TASK_MORE). */

#include "workers/task.h"

/* A row of the write statement's result: (what, name, height, count). */
typedef struct HeightNotice {
        const char *what, *name, *height;
        int64_t count;
} HeightNotice;

typedef struct HeightPages {
        const char *at;        /* the original's source tag */
        const char *metrics;   /* prefix of the gauges */
        const char *cache_key; /* for error texts; the statements name it, too */
        const char *computing; /* messages of the original */
        const char *computed;
        const char *failed;
        const char *height_field; /* JSON name of the field with the last height */
        /* $1 how many heights at most -> value, height, heights, n, last */
        const SqlStatement *read;
        /* $1 checkpoint, $2 heights, then `parameter` unless it is NULL */
        const SqlStatement *write;
        const char *(*parameter)(const TaskContext *ctx);
        /* Before the commit: an error rolls back. May be NULL. */
        int (*check)(const HeightNotice *notice, Error *reterr);
        /* After the commit, for what is not `written` or `known`. */
        void (*tell)(TaskContext *ctx, const HeightNotice *notice);
} HeightPages;

int height_pages_run(TaskContext *ctx, const HeightPages *pages);
