/* What the market family declares (market specification, section 1). */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        {
                .name = "market_updater",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_MARKET_UPDATER",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_MARKET_UPDATER",
                .interval = "30 s",
                .multiplier_env = "MARKET_UPDATER_LOCK_MULTIPLIER",
                .multiplier = 10,
                .help = "Recomputes volume, trades, price change, open interest and next funding rate of every market "
                        "and publishes what changed",
        },
        { 0 },
};

static const char *const secrets[] = { "database.password", "redis.url", NULL };

extern const FamilyManifest market_manifest;
const FamilyManifest market_manifest = {
        .name = "market",
        .help = "market statistics and order books",
        .tasks = tasks,
        .secrets = secrets,
};
