#pragma once

/* Tasks of the market family (market specification). */

#include "workers/task.h"

int cache_orderbook_mid_prices_run(TaskContext *ctx);
int delete_zero_price_levels_run(TaskContext *ctx);
int market_updater_run(TaskContext *ctx);
int orderbook_instrumentation_run(TaskContext *ctx);
int uncross_orderbook_run(TaskContext *ctx);
