#pragma once

/* The best levels of a side that is too large to be held as a whole: of any number of levels that are shown to it, a
 * window keeps the best, and counts the others. Not thread-safe. */

#include "workers/market/orderbook.h"

/* Levels that a window has when it is finished; twice as many at most before. */
#define ORDERBOOK_WINDOW 2000

typedef struct OrderbookWindow {
        OrderbookSideName name;
        OrderbookSide *side;  /* the caller's, and of nobody else; its texts are the window's */
        OrderbookLevel bound; /* better ones, and this one, have been dealt with; price.s NULL: none */
        size_t seen;          /* levels behind the bound */
        bool full;            /* some were dropped: the last of the first ORDERBOOK_WINDOW is the worst that may stay */
} OrderbookWindow;

/* Empties the side. */
void orderbook_window_done(OrderbookWindow *w);
/* Copies the level if it is one of the best so far; price_number must be set. -ENOMEM. */
int orderbook_window_add(OrderbookWindow *w, const OrderbookLevel *l);
/* All have been shown: the side is sorted, best first, of equal prices by their texts; side->beyond of them do not fit.
 * Texts that were shown twice are there once; of those that do not fit each showing is counted, so that `beyond` is an
 * upper bound while Redis makes a hash smaller (it is 0 only if nothing is). */
void orderbook_window_finish(OrderbookWindow *w);
/* Makes it the window of the levels behind the first n of this one, which are all to be shown again. */
void orderbook_window_next(OrderbookWindow *w, size_t n);
