#pragma once

/* One transaction of create_pnl_ticks: the ticks of one hour for up to PNL_TICK_MAX_ACCOUNTS_PER_RUN accounts. */

#include "common/clock.h"
#include "workers/pnl/tick_rest.h"
#include "workers/task.h"

typedef struct TickRequest {
        const char *height;  /* of the block; NULL: the latest */
        int64_t begins_msec; /* when the hour of `after` begins */
        TickCursor after;
        uint64_t start_usec; /* when the run began to look, on the monotonic clock: for the metrics */
} TickRequest;

typedef struct TickPage {
        int64_t accounts, ticks, failed, changed;
        int64_t begins_msec; /* when the hour begins, which may be another than the request's; without accounts 0 */
        bool full;           /* as many accounts as a page may have: there may be more */
        TickCursor last;     /* of a full page */
        char time[ISO_TIME_USEC_SIZE]; /* block time of the ticks */
        uint64_t read_usec;            /* when everything was computed, on the monotonic clock */
} TickPage;

/* Names in {S}.control.create_pnl_ticks.pending: block times whose ticks Redis may lack. */
#define PENDING_TICKS "ticks "

/* Runs the transaction, which also notes where the hour goes on. Metrics of reading and failed items are reported.
 * Errors: nothing is committed, or that is uncertain. */
int tick_page(TaskContext *ctx, const TickRequest *request, TaskPending *pending, TickPage *ret, Error *reterr);
