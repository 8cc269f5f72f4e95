#pragma once

/* Whom update_compliance_data asks about, and who failed when they were asked about (compliance specification, sections
 * 2.1 and 2.6). */

#include "workers/compliance/screening.h"

/* The addresses of the items borrow from `rows`. */
typedef struct ScreeningList {
        PGresult *rows;
        ScreeningItem *items;
        size_t n;
        size_t n_passed;         /* the first of them are those of the pass */
        size_t n_again;          /* the last of them have failed before */
        bool passing, pass_ends; /* whether there is a pass; whether nobody is behind its part */
} ScreeningList;

void screening_list_done(ScreeningList *l);
/* Sends the original's gauges and timings about the selection. */
int screening_list_read(TaskContext *ctx, ScreeningList *ret, Error *reterr);
/* To be called after each batch, items `from` to `to` (without it). Begins a pass where nobody has been `answered` in
 * this run so far, and moves it behind those of its items that are done. */
int screening_list_advance(TaskContext *ctx, ScreeningList *l, size_t from, size_t to, bool answered, Error *reterr);
/* Remembers who failed, in Redis, so that they come last in the next run; those who were answered are forgotten. Only
 * failures among the first `heard` items, up to the end of the last batch of which somebody was answered, are an
 * address's own: later ones were perhaps the service's fault. */
int screening_list_remember(TaskContext *ctx, const ScreeningList *l, size_t heard, Error *reterr);
