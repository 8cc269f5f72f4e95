#pragma once

/* Whom update_compliance_data asks about, and who failed when they were asked about (compliance specification, sections
 * 2.1 and 2.6). */

#include "workers/compliance/screening.h"

/* The addresses of the items borrow from `rows`. */
typedef struct ScreeningList {
        PGresult *rows;
        ScreeningItem *items;
        size_t n;
} ScreeningList;

void screening_list_done(ScreeningList *l);
/* Sends the original's gauges and timings about the selection. */
int screening_list_read(TaskContext *ctx, ScreeningList *ret, Error *reterr);
/* Remembers who failed, in Redis, so that they come last in the next run; those who were answered are forgotten. When
 * nobody was answered it was the service's fault, and nothing is remembered. */
int screening_list_remember(TaskContext *ctx, const ScreeningList *l, Error *reterr);
