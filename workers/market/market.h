#pragma once

/* Tasks of the market family (market specification). */

#include "workers/task.h"

int market_updater_run(TaskContext *ctx);
