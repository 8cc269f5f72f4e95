/* What the compliance family declares (compliance specification, sections 2 to 8). */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        {
                .name = "delete-old-firebase-notification-tokens",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_DELETE_OLD_FIREBASE_NOTIFICATION_TOKENS",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_DELETE_FIREBASE_NOTIFICATION_TOKENS_MONTHLY",
                .interval = "30 d",
                .help = "Deletes notification tokens that were not refreshed for a calendar month",
        },
        {
                .name = "subaccount_username_generator",
                .class = TASK_SHORT,
                .enabled_env = "LOOPS_ENABLED_SUBACCOUNT_USERNAME_GENERATOR",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_SUBACCOUNT_USERNAME_GENERATOR",
                .interval = "30 s",
                .multiplier_env = "SUBACCOUNT_USERNAME_GENERATOR_LOCK_MULTIPLIER",
                .multiplier = 5,
                .help = "Gives each address one name, made from the address alone",
        },
        {
                .name = "update_affiliate_info",
                .class = TASK_LONG,
                .enabled_env = "LOOPS_ENABLED_UPDATE_AFFILIATE_INFO",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_UPDATE_AFFILIATE_INFO",
                .interval = "30 s",
                .help = "Adds the fills since the last run to what affiliates have earned and referred",
        },
        {
                .name = "update_compliance_status",
                .class = TASK_SHORT,
                .enabled_env = NULL,
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_PERFORM_COMPLIANCE_STATUS_TRANSITIONS",
                .interval = "1 h",
                .help = "Turns CLOSE_ONLY into BLOCKED after some days",
        },
        {
                .name = "update_wallet_total_volume",
                .class = TASK_LONG,
                .enabled_env = "LOOPS_ENABLED_UPDATE_WALLET_TOTAL_VOLUME",
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_UPDATE_WALLET_TOTAL_VOLUME",
                .interval = "30 s",
                .help = "Adds the fills since the last run to what wallets have traded",
        },
        { 0 },
};

static const SettingSpec settings[] = {
        { "status.close_only_days", SETTING_INT, "7", "0", "36500", .env = "CLOSE_ONLY_TO_BLOCKED_DAYS",
          .help = "Days after which CLOSE_ONLY becomes BLOCKED." },
        { "status.keep_reason", SETTING_BOOL, "false",
          .help = "Whether the reason of a status outlives its change to BLOCKED. The original erases it." },
        { "usernames.batch_size", SETTING_INT, "2000", "1", "10000", .env = "SUBACCOUNT_USERNAME_BATCH_SIZE",
          .help = "Names given in one transaction at most." },
        { "usernames.attempts", SETTING_INT, "3", "1", "100", .env = "ATTEMPT_PER_SUBACCOUNT",
          .help = "Names that are tried for an address before it is reported." },
        { "usernames.suffix_digits", SETTING_INT, "3", "0", "32", .env = "SUBACCOUNT_USERNAME_SUFFIX_RANDOM_DIGITS",
          .help = "Letters and digits behind the two words." },
        { "usernames.adjectives", SETTING_PATH, NULL, .env = "USERNAME_ADJECTIVES_FILE",
          .help = "List of first words: a JSON array of strings, or one word a line. The order matters: a fleet that "
                  "comes from the original service names its own two lists, or people would get other names." },
        { "usernames.nouns", SETTING_PATH, NULL, .env = "USERNAME_NOUNS_FILE",
          .help = "List of second words, as usernames.adjectives." },
        { "usernames.builtin", SETTING_BOOL, "false",
          .help = "Use the built-in lists even though the table has names that these lists do not give." },
        { "accumulation.max_window", SETTING_DURATION, "1 d", "1 s", "1 d",
          .help = "Longest stretch of fills that is added in one transaction, by update_wallet_total_volume and "
                  "update_affiliate_info." },
        { NULL },
};

static const char *const secrets[] = { "database.password", "redis.url", NULL };

extern const FamilyManifest compliance_manifest;
const FamilyManifest compliance_manifest = {
        .name = "compliance",
        .help = "screening of addresses, user names, traded volume, affiliates",
        .tasks = tasks,
        .settings = settings,
        .secrets = secrets,
};
