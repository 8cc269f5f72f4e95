/* The functions of the market family's tasks. */

#include "workers/market/market.h"

extern const TaskBinding market_tasks[];
const TaskBinding market_tasks[] = {
        { "cache-orderbook-mid-prices", cache_orderbook_mid_prices_run },
        { "delete_zero_price_levels", delete_zero_price_levels_run },
        { "market_updater", market_updater_run },
        { "orderbook_instrumentation", orderbook_instrumentation_run },
        { "uncross_orderbook", uncross_orderbook_run },
        { NULL, NULL },
};
