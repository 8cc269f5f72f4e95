/* What the market family declares (market specification, section 1). */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        {
                .name = "cache-orderbook-mid-prices",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_CACHE_ORDERBOOK_MID_PRICES",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_CACHE_ORDERBOOK_MID_PRICES",
                .interval = "10 s",
                .help = "Keeps a minute of mid prices of every market for the candles",
        },
        {
                .name = "delete_zero_price_levels",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_DELETE_ZERO_PRICE_LEVELS",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_DELETE_ZERO_PRICE_LEVELS",
                .interval = "2 min",
                .multiplier_env = "DELETE_ZERO_PRICE_LEVELS_LOCK_MULTIPLIER",
                .multiplier = 1,
                .help = "Removes levels of size zero from the order books",
        },
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
        {
                .name = "orderbook_instrumentation",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ORDERBOOK_INSTRUMENTATION",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_ORDERBOOK_INSTRUMENTATION",
                .interval = "1 min",
                .help = "Sends gauges of best prices and depth of every order book",
        },
        {
                .name = "uncross_orderbook",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_UNCROSS_ORDERBOOK",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_UNCROSS_ORDERBOOK",
                .interval = "15 s",
                .multiplier_env = "UNCROSS_ORDERBOOK_LOCK_MULTIPLIER",
                .multiplier = 1,
                .help = "Removes stale levels that leave the best bid of an order book at or above its best ask",
        },
        { 0 },
};

static const SettingSpec settings[] = {
        { "stale_orderbook_level_threshold", SETTING_DURATION, "10 s", "0 s", "1 d",
          .env = "STALE_ORDERBOOK_LEVEL_THRESHOLD_SECONDS", .env_unit = SETTING_ENV_SEC,
          .help = "Age beyond which uncross_orderbook removes a level that crosses the book." },
        { 0 },
};

static const char *const secrets[] = { "database.password", "kafka.sasl_password", "redis.url", NULL };

extern const FamilyManifest market_manifest;
const FamilyManifest market_manifest = {
        .name = "market",
        .help = "market statistics and order books",
        .tasks = tasks,
        .settings = settings,
        .secrets = secrets,
};
