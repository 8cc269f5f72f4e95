/* The functions of the pnl family's tasks. */

#include "workers/pnl/pnl.h"

extern const TaskBinding pnl_tasks[];
const TaskBinding pnl_tasks[] = {
        { "aggregate_trading_rewards_daily", aggregate_trading_rewards_daily_run },
        { "aggregate_trading_rewards_monthly", aggregate_trading_rewards_monthly_run },
        { "aggregate_trading_rewards_weekly", aggregate_trading_rewards_weekly_run },
        { "create_leaderboard_pnl_all_time", create_leaderboard_pnl_all_time_run },
        { "create_leaderboard_pnl_daily", create_leaderboard_pnl_daily_run },
        { "create_leaderboard_pnl_monthly", create_leaderboard_pnl_monthly_run },
        { "create_leaderboard_pnl_weekly", create_leaderboard_pnl_weekly_run },
        { "create_leaderboard_pnl_yearly", create_leaderboard_pnl_yearly_run },
        { "create_pnl_ticks", create_pnl_ticks_run },
        { "pnl_instrumentation", pnl_instrumentation_run },
        { "refresh-vault-pnl", refresh_vault_pnl_run },
        { "update-funding-payments", update_funding_payments_run },
        { "update-pnl", update_pnl_run },
        { NULL, NULL },
};
