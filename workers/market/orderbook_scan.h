#pragma once

/* Reads order books whose hashes are too large to be read at once, page by page. Size and time of a level are of one
 * instant, the levels of a book are not: one that comes or goes during the scan may be missing, and while Redis makes a
 * hash smaller one may be shown twice, so that counts of levels are then too large. */

#include "workers/market/orderbook_read.h"

/* Gets levels that the flags want; they are borrowed until the return. A negative errno ends the scan. */
typedef int (*OrderbookLevelsCallback)(const OrderbookMarket *m, OrderbookSideName side, OrderbookLevel *levels,
                                       size_t n, void *userdata, Error *reterr);
/* All levels of both sides, in any order, in pages of about a thousand. `report`: fields that only one of a side's
 * hashes has are logged, which takes a scan of the other hash, too. 0, -EBADMSG with a text about this market alone, or
 * another negative errno. */
int orderbook_scan(TaskContext *ctx, const OrderbookMarket *m, unsigned flags, bool report,
                   OrderbookLevelsCallback callback, void *userdata, Error *reterr);
/* The book in windows (orderbook_window.h): to the callback of a reader. */
int orderbook_scan_windows(TaskContext *ctx, const OrderbookMarket *m, unsigned flags, OrderbookCallback callback,
                           void *userdata, Error *reterr);
