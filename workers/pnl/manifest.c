/* What the pnl family declares (PnL specification, section 0.1). */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        {
                .name = "refresh-vault-pnl",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_REFRESH_VAULT_PNL",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_REFRESH_VAULT_PNL",
                .interval = "5 min",
                .help = "Refreshes the hourly and daily views of the vaults' PnL at the beginning of each hour and day",
        },
        { 0 },
};

static const SettingSpec settings[] = {
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
