#pragma once

/* One transaction of create_pnl_ticks: the ticks of one hour for up to PNL_TICK_MAX_ACCOUNTS_PER_RUN accounts. */

#include "common/clock.h"
#include "workers/task.h"

/* The last account of a page, in the order of pages: those with an earlier tick first, then by id. */
typedef struct TickCursor {
        bool set, new;
        char id[UUID_TEXT_SIZE];
} TickCursor;

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

/* Names in {S}.control.create_pnl_ticks.pending: block times whose ticks Redis may lack, and hours of which accounts
 * are left. */
#define PENDING_TICKS "ticks "
#define PENDING_REST "rest "

/* Runs the transaction. Metrics of reading and failed items are reported. Errors: nothing is committed, or that is
 * uncertain. */
int tick_page(TaskContext *ctx, const TickRequest *request, TaskPending *pending, TickPage *ret, Error *reterr);
