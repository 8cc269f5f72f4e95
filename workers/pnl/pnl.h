#pragma once

/* Tasks of the pnl family (PnL specification). */

#include "workers/task.h"

int aggregate_trading_rewards_daily_run(TaskContext *ctx);
int aggregate_trading_rewards_monthly_run(TaskContext *ctx);
int aggregate_trading_rewards_weekly_run(TaskContext *ctx);
int create_leaderboard_pnl_all_time_run(TaskContext *ctx);
int create_leaderboard_pnl_daily_run(TaskContext *ctx);
int create_leaderboard_pnl_monthly_run(TaskContext *ctx);
int create_leaderboard_pnl_weekly_run(TaskContext *ctx);
int create_leaderboard_pnl_yearly_run(TaskContext *ctx);
int create_pnl_ticks_run(TaskContext *ctx);
int pnl_instrumentation_run(TaskContext *ctx);
int refresh_vault_pnl_run(TaskContext *ctx);
int update_funding_payments_run(TaskContext *ctx);
int update_pnl_run(TaskContext *ctx);
