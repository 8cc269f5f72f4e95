/* What the orders family declares (orders specification, sections 4 to 6). */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        {
                .name = "cancel_stale_orders",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_CANCEL_STALE_ORDERS", /* sic */
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_CANCEL_STALE_ORDERS",
                .interval = "30 s",
                .help = "Marks short-term orders that are open beyond their last block as cancelled",
        },
        {
                .name = "remove_expired_orders",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_REMOVE_EXPIRED_ORDERS",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_REMOVE_EXPIRED_ORDERS",
                .interval = "2 min",
                .help = "Asks Vulcan to drop short-term orders of which no removal came from the node",
        },
        {
                .name = "remove_old_order_updates",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_REMOVE_OLD_ORDER_UPDATES",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_REMOVE_OLD_ORDER_UPDATES",
                .interval = "30 s",
                .help = "Drops updates of stateful orders that Vulcan parked and whose placement never came",
        },
        { 0 },
};

static const SettingSpec settings[] = {
        { "expiry_delay_blocks", SETTING_INT, "20", "0", "1000000000",
          .env = "BLOCKS_TO_DELAY_EXPIRY_BEFORE_SENDING_REMOVES",
          .help = "Blocks after an order's last one before remove_expired_orders asks Vulcan to drop it." },
        { "old_update_window", SETTING_DURATION, "30 s", "0 s", "30 d", .env = "OLD_CACHED_ORDER_UPDATES_WINDOW_MS",
          .env_unit = SETTING_ENV_MSEC,
          .help = "How long an update may wait for the placement of its order before remove_old_order_updates drops "
                  "it." },
        { "page_size", SETTING_INT, "1000", "1", "5000",
          .help = "Members of a Redis set that are handled in one round trip." },
        { "slice", SETTING_DURATION, "1 min", "1 ms", "1 h",
          .help = "How long a run works off a backlog before tasks that wait get their turn; it goes on after them." },
        { "stale_batch_size", SETTING_INT, "10000", "1", "1000000", .env = "CANCEL_STALE_ORDERS_QUERY_BATCH_SIZE",
          .help = "Orders that one statement of cancel_stale_orders changes." },
        { NULL },
};

static const char *const secrets[] = { "database.password", "kafka.sasl_password", "redis.url", NULL };

extern const FamilyManifest orders_manifest;
const FamilyManifest orders_manifest = {
        .name = "orders",
        .help = "expired and stale orders, parked order updates",
        .tasks = tasks,
        .settings = settings,
        .secrets = secrets,
};
