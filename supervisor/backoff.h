#pragma once

/* How long to wait before a worker is started again: nothing after a death in good health, then 100 ms, doubling to
 * 30 s, each longer by a random part of up to a quarter so that workers felled by one cause do not return in step. */

#include "common/util.h"

#define BACKOFF_FIRST_USEC (100 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (30 * USEC_PER_SEC)

/* `step` counts the deaths since the worker was last healthy, from 0; u in [0,1). Never above BACKOFF_MAX_USEC. */
uint64_t backoff_delay_usec(unsigned step, double u);
