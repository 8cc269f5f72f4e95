#pragma once

/* How many requests the whole fleet may start: kept in Redis, on its server's clock, in {S}.control.screening.*. */

#include "workers/task.h"

/* Waits until n requests may be started (n at most screening.batch_size) and counts them as started. The time spent
 * waiting is added to *waited_usec. -EAGAIN when the service wants to be left alone for longer than 30 s; negative with
 * reterr too when cancelled or without Redis. Nothing to do in a dry run. */
int screening_limit_take(TaskContext *ctx, size_t n, uint64_t *waited_usec, Error *reterr);
/* The service wants to be left alone: no host starts a request for so long. Never shortens an earlier wish. */
int screening_limit_hold(TaskContext *ctx, uint64_t usec, Error *reterr);
