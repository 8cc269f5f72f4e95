#pragma once

/* Tasks of the pnl family (PnL specification). */

#include "workers/task.h"

int refresh_vault_pnl_run(TaskContext *ctx);
