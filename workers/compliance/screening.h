#pragma once

/* Who says whether an address is of high risk: one interface, several providers (compliance specification,
 * section 2.5).
 */

#include "workers/task.h"

typedef struct ScreeningItem {
        const char *address; /* borrowed */
        bool answered;       /* else failure says why not, unless it was not its turn any more */
        bool blocked;
        bool unknown;   /* the service has never seen it (score -2) */
        bool has_score; /* else NULL is stored */
        int32_t score;  /* as stored */
        char *failure;  /* owned */
} ScreeningItem;

typedef struct ScreeningBatch {
        ScreeningItem *items;
        size_t n;
        uint64_t waited_usec; /* for a turn, by the limit of requests */
} ScreeningBatch;

typedef struct ScreeningProvider {
        const char *name;
        bool scores; /* whether its answers replace the score that is stored */
        /* Answers or fails each item. Negative with reterr when nobody needs to be asked any more in this run: what is
         * answered by then counts, and who is neither answered nor failed is as before. */
        int (*screen)(TaskContext *ctx, ScreeningBatch *batch, Error *reterr);
} ScreeningProvider;

extern const ScreeningProvider screening_elliptic;
extern const ScreeningProvider screening_placeholder;
extern const ScreeningProvider screening_blocklist;

/* The one that screening.provider names; Elliptic for an unknown name, as ever, which *ret_known tells. */
const ScreeningProvider *screening_provider_find(const char *name, bool *ret_known);

/* Frees the failures and clears what was answered; the addresses stay. */
void screening_items_reset(ScreeningItem *items, size_t n);
/* Marks an item as failed, once: a second failure changes nothing. */
void screening_item_fail(ScreeningItem *item, const char *format, ...) _printf_(2, 3);
