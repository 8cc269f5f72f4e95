#pragma once

/* Tasks of the orders family (orders specification). */

#include "workers/task.h"

int cancel_stale_orders_run(TaskContext *ctx);
int remove_expired_orders_run(TaskContext *ctx);
int remove_old_order_updates_run(TaskContext *ctx);

/* Height of the latest block that the replica has; an error when there is none. */
int orders_read_height(TaskContext *ctx, int64_t *ret, Error *reterr);
