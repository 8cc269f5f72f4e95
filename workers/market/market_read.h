#pragma once

/* Reads what market_updater computes with: the listing, the inputs from the replica, the funding samples. */

#include "workers/market/market_statistics.h"
#include "workers/task.h"

/* The Market entries borrow their texts from `listing`. */
typedef struct MarketList {
        PGresult *listing;
        Market *markets;
        size_t n;
} MarketList;

void market_list_done(MarketList *l);
#define _cleanup_market_list_ _cleanup_(market_list_done)

/* All three return 0 or a negative errno with reterr. Values that cannot be used are reported as failed items and leave
 * the stored value in place. */
int market_list_read(TaskContext *ctx, MarketList *ret, Error *reterr);
/* Price change, volume, trades and open interest: one statement on the replica. */
int market_list_compute_statistics(TaskContext *ctx, MarketList *l, Error *reterr);
/* Funding rates: one pipeline of LRANGE per page of markets. */
int market_list_compute_funding(TaskContext *ctx, MarketList *l, Error *reterr);
