/* What the pnl family declares (PnL specification, section 0.1). */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        {
                .name = "aggregate_trading_rewards_daily",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_AGGREGATE_TRADING_REWARDS_DAILY",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_AGGREGATE_TRADING_REWARDS",
                .interval = "30 s",
                .help = "Sums trading rewards by address and day",
        },
        {
                .name = "aggregate_trading_rewards_monthly",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_AGGREGATE_TRADING_REWARDS_MONTHLY",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_AGGREGATE_TRADING_REWARDS",
                .interval = "30 s",
                .help = "Sums trading rewards by address and month",
        },
        {
                .name = "aggregate_trading_rewards_weekly",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_AGGREGATE_TRADING_REWARDS_WEEKLY",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_AGGREGATE_TRADING_REWARDS",
                .interval = "30 s",
                .help = "Sums trading rewards by address and week",
        },
        {
                .name = "create_leaderboard_pnl_all_time",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_LEADERBOARD_PNL_ALL_TIME",
                .interval_env = "LOOPS_INTERVAL_MS_LEADERBOARD_PNL_ALL_TIME",
                .interval = "30 s",
                .help = "Ranks addresses by their PnL of all time whenever there are new ticks",
        },
        {
                .name = "create_leaderboard_pnl_daily",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_LEADERBOARD_PNL_DAILY",
                .interval_env = "LOOPS_INTERVAL_MS_LEADERBOARD_PNL_DAILY",
                .interval = "30 s",
                .help = "Ranks addresses by their PnL of a day whenever there are new ticks",
        },
        {
                .name = "create_leaderboard_pnl_monthly",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_LEADERBOARD_PNL_MONTHLY",
                .interval_env = "LOOPS_INTERVAL_MS_LEADERBOARD_PNL_MONTHLY",
                .interval = "30 s",
                .help = "Ranks addresses by their PnL of 30 days whenever there are new ticks",
        },
        {
                .name = "create_leaderboard_pnl_weekly",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_LEADERBOARD_PNL_WEEKLY",
                .interval_env = "LOOPS_INTERVAL_MS_LEADERBOARD_PNL_WEEKLY",
                .interval = "30 s",
                .help = "Ranks addresses by their PnL of 7 days whenever there are new ticks",
        },
        {
                .name = "create_leaderboard_pnl_yearly",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_LEADERBOARD_PNL_YEARLY",
                .interval_env = "LOOPS_INTERVAL_MS_LEADERBOARD_PNL_YEARLY",
                .interval = "30 s",
                .help = "Ranks addresses by their PnL of 365 days whenever there are new ticks",
        },
        {
                .name = "create_pnl_ticks",
                .class = TASK_LONG,
                .enabled_env = "LOOPS_ENABLED_PNL_TICKS",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_PNL_TICKS",
                .interval = "30 s",
                .multiplier_env = "PNL_TICK_UPDATE_LOCK_MULTIPLIER",
                .multiplier = 20,
                .help = "Writes equity, PnL and net transfers of every subaccount once an hour",
        },
        {
                .name = "pnl_instrumentation",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_PNL_INSTRUMENTATION",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_PNL_INSTRUMENTATION",
                .interval = "1 h",
                .help = "Counts the subaccounts whose PnL is more than two hours old",
        },
        {
                .name = "refresh-vault-pnl",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_REFRESH_VAULT_PNL",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_REFRESH_VAULT_PNL",
                .interval = "5 min",
                .help = "Refreshes the hourly and daily views of the vaults' PnL at the beginning of each hour and day",
        },
        {
                .name = "update-funding-payments",
                .class = TASK_LONG,
                .enabled_env = "LOOPS_ENABLED_UPDATE_FUNDING_PAYMENTS",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_UPDATE_FUNDING_PAYMENTS",
                .interval = "60 s",
                .multiplier_env = "UPDATE_FUNDING_PAYMENTS_LOCK_MULTIPLIER",
                .multiplier = 3,
                .help = "Writes what every open position paid or received at each height with funding index updates",
        },
        {
                .name = "update-pnl",
                .class = TASK_LONG,
                .enabled_env = "LOOPS_ENABLED_UPDATE_PNL",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_UPDATE_PNL",
                .interval = "60 s",
                .multiplier_env = "UPDATE_PNL_LOCK_MULTIPLIER",
                .multiplier = 3,
                .help = "Writes profit and loss of every account at each height with funding payments",
        },
        { 0 },
};

static const SettingSpec settings[] = {
        { "carry_funding_forward", SETTING_BOOL, "false",
          .help = "What update-funding-payments does with a market that has no funding index update at a height where "
                  "others have one. false, as in the original: its positions end there and begin anew with the fills "
                  "behind it, and the next payment is reckoned with an old index of 0. true: positions and index are "
                  "kept until the market's next update." },
        { "rewards_chunk", SETTING_INT, "0", "0", "1000000", .env = "AGGREGATE_TRADING_REWARDS_CHUNK_SIZE",
          .help = "Rows per statement in which aggregate_trading_rewards_* write, all in one transaction; 0: all in "
                  "one "
                  "statement." },
        { "rewards_max_interval", SETTING_DURATION, "1 h", "1 s", "1 d",
          .env = "AGGREGATE_TRADING_REWARDS_MAX_INTERVAL_SIZE_MS", .env_unit = SETTING_ENV_MSEC,
          .help = "Longest interval of rewards that aggregate_trading_rewards_* add up in one transaction." },
        { "slice", SETTING_DURATION, "60 s", "1 ms", "1 h",
          .help = "A run of update-funding-payments, update-pnl or aggregate_trading_rewards_* that has more to do "
                  "makes "
                  "way for waiting tasks after this long, between two transactions." },
        { "transaction_rows", SETTING_INT, "50000", "1", "10000000",
          .help = "About how many rows update-funding-payments and update-pnl write in one transaction. One height is "
                  "never divided." },
        { "funding_index_lookback", SETTING_INT, "14400", "1", "100000000",
          .help = "create_pnl_ticks takes the latest funding index of a market among so many blocks; 0 is taken where "
                  "there is none. The original's 14400 are a few hours." },
        { "leaderboard_delete_unranked", SETTING_BOOL, "false",
          .help = "Whether create_leaderboard_pnl_* delete addresses that have no tick today. false, as in the "
                  "original: "
                  "they keep the rank they had, which another then has, too." },
        { "leaderboard_rows_per_statement", SETTING_INT, "0", "0", "10000000",
          .env = "LEADERBOARD_PNL_MAX_ROWS_PER_UPSERT",
          .help = "Ranks written by one statement of the transaction; 0: all by one, which is as safe and faster." },
        { "tick_accounts_per_run", SETTING_INT, "65000", "1", "10000000", .env = "PNL_TICK_MAX_ACCOUNTS_PER_RUN",
          .help = "Ticks of one transaction of create_pnl_ticks; what is left is done by the next run." },
        { "tick_fill", SETTING_DURATION, "1 d", "0 s", "30 d",
          .help = "Hours without ticks are filled this far back, for the accounts that have not changed since." },
        { "tick_interval", SETTING_DURATION, "1 h", "1 s", "30 d", .env = "PNL_TICK_UPDATE_INTERVAL_MS",
          .env_unit = SETTING_ENV_MSEC, .help = "One tick an account is written in each of these, counted from 1970." },
        { "tick_rows_per_statement", SETTING_INT, "0", "0", "10000000", .env = "PNL_TICK_MAX_ROWS_PER_UPSERT",
          .help = "Accounts written by one INSERT of the transaction; 0: all by one, which is as safe and faster." },
        { "vault_refresh_window", SETTING_DURATION, "15 min", "0 s", "1 d",
          .env = "TIME_WINDOW_FOR_REFRESH_VAULT_PNL_MS", .env_unit = SETTING_ENV_MSEC,
          .help = "refresh-vault-pnl refreshes the hourly view only this long after the full hour, and the daily view "
                  "only this long after midnight UTC." },
        { NULL },
};

static const char *const secrets[] = { "database.password", "redis.url", NULL };

extern const FamilyManifest pnl_manifest;
const FamilyManifest pnl_manifest = {
        .name = "pnl",
        .help = "profit and loss, funding payments, trading rewards and leaderboards",
        .tasks = tasks,
        .settings = settings,
        .secrets = secrets,
};
