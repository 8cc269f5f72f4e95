/* The one table of settings: what config check, config show, the man page, the example files and the parser know.
 * Names of variables, defaults and kinds of the original: runtime specification, section 5. */

#include "common/settings_table.h"

const SettingSpec settings_common_table[] = {
        /* service */
        { "service_name", SETTING_STRING, "roundtable", .env = "SERVICE_NAME",
          .help = "Prefix of all Redis keys and metric names and Kafka's client id. Instances that share work must "
                  "share it." },
        { "node_env", SETTING_STRING, NULL, .env = "NODE_ENV",
          .help = "Name of the environment (development, staging, production, test); a tag of every metric. production "
                  "and "
                  "staging demand the settings marked so." },
        { "environment_file", SETTING_PATH, "/etc/default/roundtable", .flags = SETTING_SUPERVISOR,
          .help = "File of NAME=value lines with the original's variables, read at start and on reload. Variables of "
                  "the "
                  "process environment win over it." },
        { "log.level", SETTING_ENUM, "info", .env = "LOG_LEVEL",
          .choices = "emerg|alert|crit|error|warning|notice|info|debug",
          .help = "Least severe level that is written." },
        { "statsd.host", SETTING_STRING, "localhost", .env = "STATSD_HOST", .help = "Host of the DogStatsD agent." },
        { "statsd.port", SETTING_INT, "8125", "1", "65535", .env = "STATSD_PORT",
          .help = "UDP port of the DogStatsD agent." },
        { "datadog.entity_id", SETTING_STRING, NULL, .env = "DD_ENTITY_ID",
          .help = "Value of the metric tag dd.internal.entity_id." },
        { "datadog.env", SETTING_STRING, NULL, .env = "DD_ENV", .help = "Value of the metric tag env." },
        { "datadog.service", SETTING_STRING, NULL, .env = "DD_SERVICE", .help = "Value of the metric tag service." },
        { "datadog.version", SETTING_STRING, NULL, .env = "DD_VERSION", .help = "Value of the metric tag version." },

        /* supervisor */
        { "supervisor.runtime_dir", SETTING_PATH, "/run/roundtable", .flags = SETTING_RESTART | SETTING_SUPERVISOR,
          .help = "Directory of the control sockets and lock files." },
        { "supervisor.state_dir", SETTING_PATH, "/var/lib/roundtable", .flags = SETTING_RESTART | SETTING_SUPERVISOR,
          .help = "Directory in which the supervisor remembers the instances of its workers." },
        { "supervisor.stop_timeout", SETTING_DURATION, "30 s", "1 s", "1 h", .flags = SETTING_SUPERVISOR,
          .help = "How long workers may finish running tasks when the service stops; then their runs are cancelled. "
                  "systemd is asked to wait 15 s longer." },
        { "supervisor.quarantine_cooldown", SETTING_DURATION, "15 min", "1 s", "1 d", .flags = SETTING_SUPERVISOR,
          .help = "How long a task that crashed its worker three times is held on this host." },

        /* PostgreSQL */
        { "database.host", SETTING_STRING, "localhost", .env = "DB_HOSTNAME",
          .help = "Primary server, or a directory of its socket." },
        { "database.replica_host", SETTING_STRING, "localhost", .env = "DB_READONLY_HOSTNAME",
          .help = "Read replica." },
        { "database.use_replica", SETTING_BOOL, "true", .env = "IS_USING_DB_READONLY",
          .help = "Whether there is a replica; without it the primary answers for it." },
        { "database.read_default_from_replica", SETTING_BOOL, "false", .env = "USE_READ_REPLICA",
          .help = "Whether listings that name no server are read from the replica." },
        { "database.port", SETTING_INT, "5435", "1", "65535", .env = "DB_PORT", .help = "Port of both servers." },
        { "database.name", SETTING_STRING, "dydx_dev", .env = "DB_NAME", .help = "Name of the database." },
        { "database.user", SETTING_STRING, "dydx_dev", .env = "DB_USERNAME", .help = "Role to connect as." },
        { "database.password", SETTING_STRING, "dydxserver123", .env = "DB_PASSWORD", .flags = SETTING_SECRET,
          .help = "Its password. Also read from the credential database.password." },
        { "database.password_file", SETTING_PATH, NULL, .flags = SETTING_SUPERVISOR,
          .help = "File whose first line is the password; wins over database.password of the same file." },
        { "database.sslmode", SETTING_ENUM, NULL, .env = "PGSSLMODE",
          .choices = "disable|allow|prefer|require|verify-ca|verify-full|no-verify",
          .help = "TLS to PostgreSQL; unset: none, as the original. prefer and require verify the certificate there; "
                  "here "
                  "they are libpq's." },
        { "database.ssl_root_cert", SETTING_PATH, NULL, .env = "PGSSLROOTCERT",
          .help = "CA file for verify-ca and verify-full." },
        { "database.acquire_timeout", SETTING_DURATION, "10 s", "100 ms", "10 min",
          .env = "PG_ACQUIRE_CONNECTION_TIMEOUT_MS", .env_unit = SETTING_ENV_MSEC,
          .help = "Longest wait for a free connection." },

        /* Redis */
        { "redis.url", SETTING_URL, "redis://localhost:6382", .env = "REDIS_URL", .flags = SETTING_SECRET,
          .help = "redis://[user:]password@host[:6379][/db] or unix:///path. Shown without its password." },
        { "redis.password_file", SETTING_PATH, NULL, .flags = SETTING_SUPERVISOR,
          .help = "File whose first line is the password of redis.url. Also read from the credential redis.password." },
        { "redis.reconnect_delay", SETTING_DURATION, "500 ms", "10 ms", "1 min", .env = "REDIS_RECONNECT_TIMEOUT_MS",
          .env_unit = SETTING_ENV_MSEC, .help = "Wait between attempts to reconnect." },
        { "redis.reconnect_error_threshold", SETTING_INT, "10", "0", "1000000",
          .env = "REDIS_RECONNECT_ATTEMPT_ERROR_THRESHOLD",
          .help = "Failed attempts to reconnect after which an outage, a warning at first, is logged as an error." },

        /* Kafka */
        { "kafka.brokers", SETTING_LIST, "localhost:9092", .env = "KAFKA_BROKER_URLS",
          .flags = SETTING_REQUIRED_PRODUCTION, .help = "host:port of some brokers." },
        { "kafka.connection_timeout", SETTING_DURATION, "5 s", "1 s", "10 min", .env = "KAFKA_CONNECTION_TIMEOUT_MS",
          .env_unit = SETTING_ENV_MSEC, .help = "Time to set up a connection to a broker." },
        { "kafka.request_timeout", SETTING_DURATION, "30 s", "1 s", "15 min", .env = "KAFKA_REQUEST_TIMEOUT_MS",
          .env_unit = SETTING_ENV_MSEC,
          .help = "Longest time until a message is acknowledged, attempts to send it again included." },
        { "kafka.max_batch_size", SETTING_SIZE, "900000", "1 KiB", "100 MiB",
          .env = "KAFKA_MAX_BATCH_WEBSOCKET_MESSAGE_SIZE_BYTES",
          .help = "Bytes of key and value after which a batch is sent." },
        { "kafka.security_protocol", SETTING_ENUM, "PLAINTEXT", .env = "KAFKA_SECURITY_PROTOCOL",
          .choices = "PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL",
          .help = "How brokers are spoken to: with TLS (SSL), with a user's name and password (SASL), with both." },
        { "kafka.sasl_mechanism", SETTING_ENUM, NULL, .env = "KAFKA_SASL_MECHANISM",
          .choices = "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512", .help = "How the password is proved to the brokers." },
        { "kafka.sasl_username", SETTING_STRING, NULL, .env = "KAFKA_SASL_USERNAME", .help = "User at the brokers." },
        { "kafka.sasl_password", SETTING_STRING, NULL, .env = "KAFKA_SASL_PASSWORD", .flags = SETTING_SECRET,
          .help = "Password at the brokers. Prefer sasl_password_file or the credential kafka.sasl_password." },
        { "kafka.sasl_password_file", SETTING_PATH, NULL, .flags = SETTING_SUPERVISOR,
          .help = "File whose first line is kafka.sasl_password." },
        { "kafka.ssl_ca_file", SETTING_PATH, NULL, .env = "KAFKA_SSL_CA_FILE",
          .help = "PEM file of the authorities that may have signed the brokers' certificates; unset: those of the "
                  "system. The brokers' host names are always checked." },
        { "kafka.ssl_certificate_file", SETTING_PATH, NULL, .env = "KAFKA_SSL_CERTIFICATE_FILE",
          .help = "PEM file of our own certificate, for brokers that ask for one." },
        { "kafka.ssl_key_file", SETTING_PATH, NULL, .env = "KAFKA_SSL_KEY_FILE",
          .help = "PEM file of its private key, without a passphrase; the user of the service must be able to read "
                  "it." },

        /* schedule */
        { "start_delay.enabled", SETTING_BOOL, "true", .env = "START_DELAY_ENABLED",
          .help = "Whether each task waits a random time once after the supervisor started." },
        { "start_delay.max", SETTING_DURATION, "3 min", "0 s", "30 d", .env = "MAX_START_DELAY_MS",
          .env_unit = SETTING_ENV_MSEC,
          .help = "The bound of the delay is the greater of this and fraction * interval." },
        { "start_delay.fraction", SETTING_NUMBER, "0.1", "0", "1", .env = "MAX_START_DELAY_FRACTION_OF_INTERVAL",
          .help = "See start_delay.max." },
        { "jitter_fraction", SETTING_NUMBER, "0.01", "0", "1", .env = "JITTER_FRACTION_OF_DELAY",
          .help = "Waits for a lock are longer by a random part of up to this fraction." },
        { NULL },
};

const SettingSpec settings_worker_table[] = {
        { "worker.enabled", SETTING_BOOL, "true", .help = "Whether this family's worker is run at all." },
        { "worker.max_concurrent_running_tasks", SETTING_INT, "2", "1", "64", .env = "MAX_CONCURRENT_RUNNING_TASKS",
          .help = "Tasks that run at once in one worker, exactly. With two or more, one slot is kept for short "
                  "tasks." },
        { "worker.pg_pool_max", SETTING_INT, "2", "1", "100", .env = "PG_POOL_MAX",
          .help = "Most connections of one worker to each PostgreSQL server." },
        { "worker.pg_pool_min", SETTING_INT, "1", "0", "100", .env = "PG_POOL_MIN",
          .help = "Connections that stay open when idle. Not above pg_pool_max." },
        { "worker.watchdog", SETTING_DURATION, "20 s", "1 s", "10 min",
          .help = "A worker whose loop does not turn for this long is replaced." },
        { "worker.stop_timeout", SETTING_DURATION, "25 s", "1 s", "1 h",
          .help = "How long running tasks may finish when the worker stops; not above supervisor.stop_timeout." },
        { "worker.open_files", SETTING_INT, "1024", "64", "1048576",
          .help = "Limit of open descriptors (RLIMIT_NOFILE)." },
        { "worker.memory_max", SETTING_SIZE, NULL, "16 MiB", "1 TiB",
          .help = "Memory limit of the worker's control group, where the system has that controller; else reported as "
                  "not enforced." },
        { "worker.sandbox", SETTING_ENUM, "auto", .choices = "auto|required|off",
          .help = "Landlock and seccomp: where available, or else refuse to start, or not at all." },
        { NULL },
};
