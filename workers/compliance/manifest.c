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
                .name = "update_compliance_data",
                .class = TASK_LONG,
                .enabled_env = NULL,
                .enabled = true,
                .interval_env = "LOOPS_INTERVAL_MS_UPDATE_COMPLIANCE_DATA",
                .interval = "5 min",
                .help = "Asks the screening service about active and known addresses and puts those of high risk into "
                        "CLOSE_ONLY",
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
        { "screening.provider", SETTING_STRING, "ELLIPTIC", .env = "COMPLIANCE_DATA_CLIENT",
          .help = "Who is asked about addresses: ELLIPTIC, PLACEHOLDER (decides by the last letter of the address, for "
                  "development) or BLOCKLIST (screening.blocked_addresses). Any other value means ELLIPTIC, as ever, "
                  "and is warned about." },
        { "screening.active_threshold", SETTING_DURATION, "1 d", "0 s", "3650 d",
          .env = "ACTIVE_ADDRESS_THRESHOLD_SECONDS", .env_unit = SETTING_ENV_SEC,
          .help = "An address is active when one of its subaccounts changed within this time." },
        { "screening.max_age", SETTING_DURATION, "2630000 s", "0 s", "3650 d", .env = "MAX_COMPLIANCE_DATA_AGE_SECONDS",
          .env_unit = SETTING_ENV_SEC,
          .help = "Age at which what is known about an address that has a wallet is asked for again." },
        { "screening.max_active_age", SETTING_DURATION, "1 d", "0 s", "3650 d",
          .env = "MAX_ACTIVE_COMPLIANCE_DATA_AGE_SECONDS", .env_unit = SETTING_ENV_SEC,
          .help = "The same for active addresses." },
        { "screening.max_per_run", SETTING_INT, "100", "0", "1000000", .env = "MAX_COMPLIANCE_DATA_QUERY_PER_LOOP",
          .help = "Addresses asked about in one run at most." },
        { "screening.batch_size", SETTING_INT, "15", "1", "100", .env = "COMPLIANCE_PROVIDER_QUERY_BATCH_SIZE",
          .help = "Requests that are under way at once. At most so many are started per screening.batch_delay, by all "
                  "hosts together." },
        { "screening.batch_delay", SETTING_DURATION, "1 s", "0 s", "5 min", .env = "COMPLIANCE_PROVIDER_QUERY_DELAY_MS",
          .env_unit = SETTING_ENV_MSEC,
          .help = "See screening.batch_size; the defaults keep 15 requests a second. 0: no limit." },
        { "screening.blocked_addresses", SETTING_STRING, "", .env = "BLOCKED_ADDRESSES",
          .help = "Comma-separated addresses of the provider BLOCKLIST, without blanks." },
        { "elliptic.url", SETTING_URL, "https://aml-api.elliptic.co", .env = "ELLIPTIC_URL",
          .help = "Base address of the screening service. http:// is accepted towards this host's loopback only." },
        { "elliptic.api_key", SETTING_STRING, "default_elliptic_api_key", .env = "ELLIPTIC_API_KEY",
          .flags = SETTING_SECRET,
          .help = "Key of the screening service. Also read from the credential compliance.elliptic.api_key." },
        { "elliptic.api_secret", SETTING_STRING, NULL, .env = "ELLIPTIC_API_SECRET", .flags = SETTING_SECRET,
          .help = "Base64 of the key that signs requests. Also read from the credential "
                  "compliance.elliptic.api_secret." },
        { "elliptic.ca_file", SETTING_PATH, NULL,
          .help = "Certificates of the authorities that vouch for the screening service; unset: the system's." },
        { "elliptic.timeout", SETTING_DURATION, "10 s", "10 ms", "5 min", .help = "Longest wait for one answer." },
        { "elliptic.max_retries", SETTING_INT, "3", "0", "100", .env = "ELLIPTIC_MAX_RETRIES",
          .help = "Repetitions of a request that was answered 429, 500, 502, 503 or 504, or whose connection was "
                  "lost." },
        { "elliptic.risk_score_threshold", SETTING_INT, "10", "-1000000", "1000000",
          .env = "ELLIPTIC_RISK_SCORE_THRESHOLD", .help = "An address is blocked from this score on." },
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
        { "slice", SETTING_DURATION, "1 min", "1 ms", "1 h",
          .help = "How long a run works off a backlog of addresses, names or fills before tasks that wait get their "
                  "turn; it goes on after them." },
        { "accumulation.max_window", SETTING_DURATION, "1 d", "1 s", "1 d",
          .help = "Longest stretch of fills that is added in one transaction, by update_wallet_total_volume and "
                  "update_affiliate_info." },
        { NULL },
};

static const char *const secrets[] = { "database.password", "redis.url", "compliance.elliptic.api_key",
                                       "compliance.elliptic.api_secret", NULL };

extern const FamilyManifest compliance_manifest;
const FamilyManifest compliance_manifest = {
        .name = "compliance",
        .help = "screening of addresses, user names, traded volume, affiliates",
        .tasks = tasks,
        .settings = settings,
        .secrets = secrets,
        .development = "/* nobody is asked: the last letter of an address decides */\n"
                       "screening = { provider = \"PLACEHOLDER\"; };\n",
};
