#pragma once

/* Brings v4/latest-accounts-pnl-tick to what the table has. */

#include "workers/task.h"

/* Writes the latest tick of each subaccount that got one at a block time named in `pending`, and forgets all names.
 * Under the lock of the ticks, so that no entry becomes older than it was. Memory: a page. */
int tick_cache_write(TaskContext *ctx, TaskPending *pending, Error *reterr);
