#pragma once

/* Where an hour of ticks goes on that is not complete: its accounts are done in pages of PNL_TICK_MAX_ACCOUNTS_PER_RUN.
 * A row of persistent_cache, written by the transaction of the page, so that the two never differ. */

#include "common/clock.h"
#include "workers/task.h"

/* The last account of a page, in the order of pages: those with an earlier tick first, then by id. */
typedef struct TickCursor {
        bool set, new;
        char id[UUID_TEXT_SIZE];
} TickCursor;

typedef struct TickRest {
        int64_t begins_msec; /* when the hour begins */
        TickCursor cursor;   /* not set: no hour is unfinished */
} TickRest;

/* From the primary. A spoilt value is none. */
int tick_rest_read(TaskContext *ctx, TickRest *ret, Error *reterr);
/* Within the transaction of a page of the hour that begins at rest->begins_msec: it goes on behind the cursor, or is
 * complete if there is none. A later hour's row stays: it belongs to another run, which has completed this hour. */
int tick_rest_write(TaskContext *ctx, const TickRest *rest, Error *reterr);
