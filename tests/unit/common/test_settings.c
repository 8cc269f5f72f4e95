/* Settings: sources and their order, every kind of bad setting, the original's rules for variables. */

#include <criterion/criterion.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/settings.h"
#include "common/settings_internal.h"
#include "workers/registry.h"

static char dir[64];
static Settings *settings;
static SettingsProblems problems;

static int remove_one(const char *path, const struct stat *st _unused_, int flag _unused_, struct FTW *ftw _unused_) {
        return remove(path);
}

static void put(const char *name, const char *text) {
        _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
        FILE *f = fopen(path, "w");

        cr_assert(f != NULL);
        cr_assert(fputs(text, f) >= 0);
        cr_assert(fclose(f) == 0);
}

static void up(void) {
        _cleanup_free_ char *workers = NULL;

        (void) snprintf(dir, sizeof(dir), "/tmp/settings-test-XXXXXX");
        cr_assert(mkdtemp(dir) != NULL);
        workers = str_printf("%s/workers", dir);
        cr_assert(mkdir(workers, 0755) == 0);
}

static void down(void) {
        settings_free(settings);
        settings_problems_done(&problems);
        (void) nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(settings, .init = up, .fini = down);

static int load_full(SettingsSource source) {
        settings = settings_free(settings);
        settings_problems_done(&problems);
        source.conf_dir = dir;
        return settings_load(&source, family_manifests, &settings, &problems);
}

static int load(const char *conf, const char *const *variables) {
        put("roundtable.conf", conf);
        return load_full((SettingsSource){ .environ = variables });
}

/* The problem of a key: the test fails without it. */
static const SettingsProblem *problem(const char *key, int line, const char *text) {
        _cleanup_free_ char *all = settings_problems_format(&problems);

        for (size_t i = 0; i < problems.n; i++)
                if (str_eq(problems.items[i].key, key) && problems.items[i].line == line &&
                    strstr(problems.items[i].text, text)) {
                        cr_assert(problems.items[i].hint != NULL, "no hint for %s", text);
                        return &problems.items[i];
                }
        cr_assert(false, "no problem of %s at line %d saying '%s' in:\n%s", key ?: "(none)", line, text, all);
        abort();
}

Test(settings, defaults_without_any_file) {
        cr_assert(load_full((SettingsSource){ 0 }) == 0);
        cr_assert(problems.n == 0);
        cr_assert(str_eq(settings_string(settings, "service_name"), "roundtable"));
        cr_assert(settings_int(settings, "database.port") == 5435);
        cr_assert(settings_duration_usec(settings, "redis.reconnect_delay") == 500 * USEC_PER_MSEC);
        cr_assert(settings_number(settings, "jitter_fraction") == 0.01);
        cr_assert(settings_worker_int(settings, "market", "worker.pg_pool_max") == 2);
        cr_assert(settings_task_bool(settings, "market", "market_updater", "enabled"));
        cr_assert(settings_task_duration_usec(settings, "market", "market_updater", "interval") == 30 * USEC_PER_SEC);
        cr_assert(settings_task_int(settings, "market", "market_updater", "lock_multiplier") == 10);
        cr_assert(settings_task_duration_usec(settings, "market", "market_updater", "max_run") == 900 * USEC_PER_SEC);
        cr_assert(str_eq(settings_string(settings, "market.tasks.market_updater.class"), "short"));
        cr_assert(str_eq(settings_origin(settings, "database.port"), "default"));
        cr_assert(settings_string(settings, "node_env") == NULL);
}

Test(settings, every_kind_of_bad_setting_is_listed) {
        const char *const variables[] = { "DB_PORT=abc", "START_DELAY_ENABLED=TRUE", "PG_POOL_MAX=0", NULL };
        const SettingsProblem *p;

        put("workers/market.conf", "pg_pol_max = 3;\ntasks = { market_updater = { interval = \"1 ms\"; enabled = 1; }; "
                                   "nosuch = { enabled = true; }; };\n");
        cr_assert(load("service_nam = \"x\";\n"
                       "statsd = { port = 70000; };\n"
                       "log = { level = \"loud\"; };\n"
                       "redis = { url = \"localhost:6379\"; reconnect_delay = 5; };\n"
                       "kafka = { max_batch_size = 9999999999; brokers = \"a:b\"; };\n"
                       "database = { password = 5; password_file = \"/nonexistent/pw\"; };\n"
                       "supervisor = 3;\n"
                       "start_delay = { max = \"5 parsecs\"; fraction = 1; };\n",
                       variables) == -EBADMSG);
        cr_assert(settings == NULL);
        p = problem("service_nam", 1, "unknown setting");
        cr_assert(strstr(p->hint, "service_name") && strstr(p->file, "/roundtable.conf"));
        (void) problem("statsd.port", 2, "too large");
        (void) problem("log.level", 3, "\"loud\" is not a possible value");
        (void) problem("redis.url", 4, "no scheme");
        (void) problem("redis.reconnect_delay", 4, "wrong type");
        (void) problem(NULL, 5, "32 bits");
        (void) problem("kafka.brokers", 5, "not a list of brokers");
        (void) problem("database.password", 6, "wrong type");
        (void) problem("database.password_file", 6, "cannot read");
        (void) problem("supervisor", 7, "not a group");
        (void) problem("start_delay.max", 8, "is not a duration");
        p = problem("pg_pol_max", 1, "unknown setting");
        cr_assert(strstr(p->hint, "pg_pool_max") && strstr(p->file, "/workers/market.conf"));
        (void) problem("market.tasks.market_updater.interval", 2, "too small");
        (void) problem("market.tasks.market_updater.enabled", 2, "wrong type");
        (void) problem("tasks.nosuch", 2, "unknown setting");
        (void) problem("DB_PORT", 0, "invalid integer");
        (void) problem("START_DELAY_ENABLED", 0, "invalid boolean");
        p = problem("PG_POOL_MAX", 0, "too small");
        cr_assert(str_eq(p->file, "environment"));
}

Test(settings, syntax_errors_and_duplicates_name_their_line) {
        put("workers/market.conf", "pg_pool_max = 2;\n\npg_pool_max = 3;\n");
        cr_assert(load("service_name = \"x\";\nlog = {{;\n", NULL) == -EBADMSG);
        (void) problem(NULL, 2, "syntax error");
        (void) problem(NULL, 3, "duplicate");
}

Test(settings, unreadable_and_hostile_files_are_problems) {
        _cleanup_free_ char *path = str_printf("%s/workers/market.conf", dir);

        cr_assert(mkdir(path, 0755) == 0);
        cr_assert(load("@include \"workers\"\n", NULL) == -EBADMSG);
        (void) problem("@include", 1, "directory");
        (void) problem(NULL, 0, "cannot read the file");
        cr_assert(load("@include \"roundtable.conf\"\n", NULL) == -EBADMSG);
        (void) problem("@include", 1, "too deeply");
        cr_assert(load("@include \"absent.conf\"\n", NULL) == -EBADMSG);
        (void) problem("@include", 1, "No such file");
        cr_assert(load("service_name = \"a\";\n/* nothing\nlog = 3;\n", NULL) == -EBADMSG);
        (void) problem(NULL, 2, "comment is not closed");
}

Test(settings, a_missing_file_is_a_problem_only_where_required) {
        cr_assert(load_full((SettingsSource){ .require_files = true }) == -EBADMSG);
        (void) problem(NULL, 0, "cannot read the file");
}

Test(settings, an_included_files_settings_are_its_own) {
        put("extra.conf", "\nstatsd = { port = 0; };\n");
        cr_assert(load("service_name = \"a\";\n@include \"extra.conf\"\n", NULL) == -EBADMSG);
        cr_assert(strstr(problem("statsd.port", 2, "too small")->file, "extra.conf") != NULL);
}

Test(settings, integers_are_not_wrapped) {
        cr_assert(load("kafka = { max_batch_size = 1000000L; };\njitter_fraction = 1;\n", NULL) == 0);
        cr_assert(settings_int(settings, "kafka.max_batch_size") == 1000000);
        cr_assert(settings_number(settings, "jitter_fraction") == 1.0);
        cr_assert(load("statsd = { port = 4294967297; };\n", NULL) == -EBADMSG);
        (void) problem(NULL, 1, "32 bits");
        cr_assert(load("# 4294967297\n/* 9999999999 */ service_name = \"9999999999\"; // 9999999999\nlog = { level = "
                       "\"info\"; };\n",
                       NULL) == 0);
        cr_assert(load("statsd = { port = 0xFFFFFFFF; };\n", NULL) == -EBADMSG);
        (void) problem(NULL, 1, "32 bits");
}

Test(settings, a_family_overrides_and_the_environment_wins) {
        const char *const variables[] = { "PG_POOL_MAX=9", NULL };

        put("workers/market.conf", "pg_pool_max = 7;\n");
        cr_assert(load("worker = { pg_pool_max = 5; pg_pool_min = 2; };\n", NULL) == 0);
        cr_assert(settings_worker_int(settings, "market", "worker.pg_pool_max") == 7);
        cr_assert(settings_worker_int(settings, "market", "worker.pg_pool_min") == 2);
        cr_assert(settings_int(settings, "worker.pg_pool_max") == 5);
        cr_assert(load("worker = { pg_pool_max = 5; };\n", variables) == 0);
        cr_assert(settings_worker_int(settings, "market", "worker.pg_pool_max") == 9);
        cr_assert(str_eq(settings_origin(settings, "market.worker.pg_pool_max"), "environment PG_POOL_MAX"));
        cr_assert(problem("worker.pg_pool_max", 1, "overridden")->warning);
        cr_assert(problem("market.worker.pg_pool_max", 1, "overridden")->warning);
        cr_assert(problems.n == 2);
}

Test(settings, cross_checks) {
        const char *const variables[] = { "NODE_ENV=production", NULL }, *const odd[] = { "NODE_ENV=prod", NULL };
        const char *const given[] = { "NODE_ENV=production", "KAFKA_BROKER_URLS=a:1,b:2", NULL };

        put("workers/market.conf", "pg_pool_min = 4;\nstop_timeout = \"1 min\";\n");
        cr_assert(load("", variables) == -EBADMSG);
        (void) problem("market.worker.pg_pool_min", 1, "above pg_pool_max");
        (void) problem("market.worker.stop_timeout", 2, "above supervisor.stop_timeout");
        (void) problem("KAFKA_BROKER_URLS", 0, "must be set");
        put("workers/market.conf", "");
        cr_assert(load("", odd) == -EBADMSG);
        (void) problem("NODE_ENV", 0, "unknown node environment");
        cr_assert(load("", given) == 0);
}

Test(settings, environment_file_and_credentials) {
        _cleanup_free_ char *conf = NULL, *password = str_printf("%s/pw", dir);
        const char *const variables[] = { "STATSD_PORT=", NULL };

        put("env", "# comment\n\nSERVICE_NAME=\"quo\\\"ted\" \nDB_NAME='a b'\nSTATSD_PORT=1\nDB_USERNAME=u \\\n "
                   "v\nDB_PORT=x1\nbad line\nLOG_LEVEL=\"open\n");
        put("pw", "s3cret/:\nmore\n");
        conf = str_printf(
                "environment_file = \"%s/env\";\nredis = { url = \"redis://h:1/2\"; password_file = \"%s\"; };\n"
                "database = { password_file = \"%s\"; };\n",
                dir, password, password);
        put("roundtable.conf", conf);
        cr_assert(load_full((SettingsSource){ .environ = variables, .read_environment_file = true }) == -EBADMSG);
        (void) problem("DB_PORT", 8, "invalid integer");
        (void) problem(NULL, 9, "not an assignment");
        (void) problem("LOG_LEVEL", 10, "quote is not closed");
        put("env", "SERVICE_NAME=\"quo\\\"ted\" \nDB_NAME='a b'\nSTATSD_PORT=1\n");
        cr_assert(load_full((SettingsSource){ .environ = variables, .read_environment_file = true }) == 0);
        cr_assert(str_eq(settings_string(settings, "service_name"), "quo\"ted"));
        cr_assert(str_eq(settings_string(settings, "database.name"), "a b"));
        cr_assert(settings_int(settings, "statsd.port") == 8125,
                  "an empty variable hides the file's and means the default");
        cr_assert(str_eq(settings_string(settings, "redis.url"), "redis://:s3cret%2F%3A@h:1/2"));
        cr_assert(str_eq(settings_string(settings, "database.password"), "s3cret/:"));
        put("database.password", "from credential\n");
        put("roundtable.conf", "");
        cr_assert(load_full((SettingsSource){ .credentials_dir = dir }) == 0);
        cr_assert(str_eq(settings_string(settings, "database.password"), "from credential"));
}

Test(settings, kafka_security_belongs_together) {
        _cleanup_free_ char *ca = str_printf("%s/ca.pem", dir), *conf = NULL;
        const char *const variables[] = { "KAFKA_SASL_PASSWORD=hunter2", NULL };
        const SettingsProblem *p;

        /* a log-in that would not happen */
        cr_assert(load("kafka = {\n sasl_mechanism = \"PLAIN\";\n sasl_username = \"u\";\n"
                       " ssl_ca_file = \"/nonexistent/ca\";\n};\n",
                       variables) == -EBADMSG);
        p = problem("kafka.sasl_mechanism", 2, "nobody logs in");
        cr_assert(strstr(p->hint, "SASL_SSL"));
        (void) problem("kafka.sasl_username", 3, "nobody logs in");
        (void) problem("KAFKA_SASL_PASSWORD", 0, "nobody logs in");
        (void) problem("kafka.ssl_ca_file", 4, "nothing is encrypted");
        /* one that could not */
        cr_assert(load("kafka = { security_protocol = \"SASL_SSL\"; };\n", NULL) == -EBADMSG);
        (void) problem("kafka.security_protocol", 1, "kafka.sasl_mechanism is not set");
        (void) problem("kafka.security_protocol", 1, "kafka.sasl_username is not set");
        p = problem("kafka.security_protocol", 1, "kafka.sasl_password is not set");
        cr_assert(strstr(p->hint, "sasl_password_file"));
        cr_assert(load("kafka = { security_protocol = \"sasl_ssl\"; sasl_mechanism = \"GSSAPI\"; };\n", NULL) ==
                  -EBADMSG);
        p = problem("kafka.security_protocol", 1, "not a possible value");
        cr_assert(strstr(p->hint, "SASL_SSL"));
        (void) problem("kafka.sasl_mechanism", 1, "not a possible value");
        /* files */
        put("ca.pem", "x");
        conf = str_printf("kafka = { security_protocol = \"SSL\"; ssl_ca_file = \"%s\";\n"
                          "ssl_certificate_file = \"/nonexistent/c\"; };\n",
                          ca);
        cr_assert(load(conf, NULL) == -EBADMSG);
        cr_assert(problems.n == 2);
        p = problem("kafka.ssl_certificate_file", 2, "cannot read /nonexistent/c: No such file");
        (void) problem("kafka.ssl_certificate_file", 2, "kafka.ssl_key_file is not set");
}

Test(settings, kafka_password_from_file_credential_and_variable) {
        static const char login[] = "kafka = {\n security_protocol = \"SASL_PLAINTEXT\";\n sasl_username = \"u\";\n"
                                    " sasl_mechanism = \"%s\";\n %ssasl_password_file = \"%s/pw\";\n};\n";
        _cleanup_free_ char *scram = str_printf(login, "SCRAM-SHA-512", "", dir), *masked = NULL;
        _cleanup_free_ char *plain = str_printf(login, "PLAIN", "#", dir);
        const char *const variables[] = { "KAFKA_SASL_PASSWORD=from variable", NULL };
        json_t *worker;

        put("pw", "from file\n");
        cr_assert(load(scram, NULL) == 0);
        cr_assert(problems.n == 0);
        cr_assert(str_eq(settings_string(settings, "kafka.sasl_password"), "from file"));
        masked = settings_format_value(settings, "kafka.sasl_password", true);
        cr_assert(str_eq(masked, "********"));
        worker = settings_to_worker_json(settings, family_manifest_find("market"));
        cr_assert(str_eq(json_string_value(json_object_get(json_object_get(worker, "values"), "kafka.sasl_password")),
                         "from file"));
        json_decref(worker);
        cr_assert(load(scram, variables) == 0);
        cr_assert(str_eq(settings_string(settings, "kafka.sasl_password"), "from variable"));
        put("kafka.sasl_password", "from credential\n");
        put("roundtable.conf", plain);
        cr_assert(load_full((SettingsSource){ .credentials_dir = dir }) == 0);
        cr_assert(str_eq(settings_string(settings, "kafka.sasl_password"), "from credential"));
        cr_assert(problems.n == 1 && problems.items[0].warning);
        (void) problem("kafka.security_protocol", 2, "crosses the network");
}

Test(settings, env_files_of_the_original) {
        const char *const variables[] = { "NODE_ENV=test", "DB_USERNAME=", NULL };

        put(".env", "SERVICE_NAME=low\nDB_NAME = \"base\"\nDB_USERNAME=file\n");
        put(".env.local", "DB_NAME=local\n");
        put(".env.test", "export X\nSERVICE_NAME=high # kept\n");
        cr_assert(load_full((SettingsSource){ .environ = variables, .env_dir = dir }) == 0);
        cr_assert(str_eq(settings_string(settings, "service_name"), "high # kept"));
        cr_assert(str_eq(settings_string(settings, "database.name"), "base"), ".env.local is skipped in test");
        cr_assert(str_eq(settings_string(settings, "database.user"), "dydx_dev"),
                  "present but empty wins and means the default");
}

Test(settings, secrets_are_in_no_text) {
        const char *const variables[] = { "REDIS_URL=hunter2", "DB_PASSWORD=hunter2", NULL }, *const good[] = {
                "REDIS_URL=redis://u:hunter2@h/0", "DB_PASSWORD=hunter2", NULL
        };
        _cleanup_free_ char *text = NULL, *url = NULL, *password = NULL;

        cr_assert(load("redis = { url = \"hunter2://x y\"; };\n", variables) == -EBADMSG);
        text = settings_problems_format(&problems);
        cr_assert(strstr(text, "HINT: ") && !strstr(text, "hunter2"), "%s", text);
        cr_assert(load("", good) == 0);
        url = settings_format_value(settings, "redis.url", true);
        password = settings_format_value(settings, "database.password", true);
        cr_assert(str_eq(url, "redis://u:********@h/0"), "%s", url);
        cr_assert(str_eq(password, "********"));
}

Test(settings, a_worker_gets_its_own_and_named_secrets) {
        static const char *const none[] = { NULL };
        FamilyManifest bare = *family_manifest_find("market");
        _cleanup_settings_ Settings *worker = NULL, *poor = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *a, *b, *c;

        put("workers/market.conf", "pg_pool_max = 3;\n");
        cr_assert(load("service_name = \"x\";\n", NULL) == 0);
        a = settings_to_worker_json(settings, family_manifest_find("market"));
        cr_assert(load("# moved by a line\nservice_name = \"x\";\n", NULL) == 0);
        b = settings_to_worker_json(settings, family_manifest_find("market"));
        cr_assert(json_equal(a, b));
        cr_assert(settings_from_worker_json(a, family_manifest_find("market"), &worker, &e) == 0, "%s", error_text(&e));
        cr_assert(settings_worker_int(worker, "market", "worker.pg_pool_max") == 3);
        cr_assert(str_eq(settings_string(worker, "redis.url"), "redis://localhost:6382"));
        cr_assert(str_eq(settings_string(worker, "database.password"), "dydxserver123"));
        bare.secrets = none;
        c = settings_to_worker_json(settings, &bare);
        cr_assert(json_object_get(json_object_get(c, "values"), "redis.url") == NULL);
        json_object_set_new(json_object_get(a, "values"), "statsd.port", json_string("x"));
        cr_assert(settings_from_worker_json(a, family_manifest_find("market"), &poor, &e) == -EBADMSG);
        json_decref(a);
        json_decref(b);
        json_decref(c);
}

/* A family that has what market lacks. */
static const FamilyManifest odd = {
        .name = "odd",
        .tasks = (const TaskSpec[]){ { .name = "odd-one", .enabled = true, .interval = "1 min" },
                                     { .name = "odd_two", .interval = "1 min", .enabled_env = "ODD_TWO" },
                                     { 0 } },
        .settings = (const SettingSpec[]){ { "addresses", SETTING_LIST, .env = "ODD_ADDRESSES", .help = "A list." },
                                           { "hosts", SETTING_LIST, "a,b", .help = "A list with a default." },
                                           { "reports", SETTING_PATH, .env = "ODD_REPORTS", .help = "A directory." },
                                           { "hidden", SETTING_PATH, .flags = SETTING_SECRET,
                                             .help = "A path that nobody else may see." },
                                           { "arn", SETTING_STRING, .env = "ODD_ARN", .flags = SETTING_TASK_REQUIRED,
                                             .tasks = "odd_two|odd_three", .help = "Needed by one task." },
                                           { NULL } },
};
static const FamilyManifest *const odd_manifests[] = { &odd, NULL };

static int load_odd(const char *family, const char *const *variables) {
        settings = settings_free(settings);
        settings_problems_done(&problems);
        put("workers/odd.conf", family);
        return settings_load(&(SettingsSource){ .conf_dir = dir, .environ = variables }, odd_manifests, &settings,
                             &problems);
}

static void assert_items(const char *name, const char *expected) {
        _cleanup_buffer_ Buffer b = { 0 };
        const char *cursor = NULL, *item;
        size_t length;

        while (settings_list_next(settings, name, &cursor, &item, &length))
                (void) buffer_printf(&b, "<%.*s>", (int) length, item);
        cr_assert(str_eq(b.data ?: "", expected), "%s: %s, expected %s", name, b.data ?: "", expected);
}

Test(settings, lists) {
        const char *const variables[] = { "ODD_ADDRESSES=x, y,,z", NULL };

        cr_assert_eq(load_odd("", NULL), 0);
        assert_items("odd.addresses", "");
        assert_items("odd.hosts", "<a><b>");
        cr_assert_eq(load_odd("addresses = [ \"one\", \"two\" ]; hosts = \"c\";\n", NULL), 0);
        assert_items("odd.addresses", "<one><two>");
        assert_items("odd.hosts", "<c>");
        cr_assert_eq(load_odd("addresses = ( );\n", NULL), 0);
        assert_items("odd.addresses", "");
        /* as the original splits its variables */
        cr_assert_eq(load_odd("addresses = \"one,two\";\n", variables), 0);
        assert_items("odd.addresses", "<x>< y><><z>");
        cr_assert_eq(load_odd("addresses = [ 1, 2 ];\n", NULL), -EBADMSG);
        (void) problem("odd.addresses", 1, "has an item that is an integer");
        cr_assert_eq(load_odd("\naddresses = [ \"a,b\" ];\nhosts = { a = 1; };\n", NULL), -EBADMSG);
        (void) problem("odd.addresses", 2, "has a comma");
        (void) problem("odd.hosts", 3, "is a group");
}

Test(settings, lists_and_paths_reach_the_worker) {
        const char *const variables[] = { "ODD_REPORTS=/srv/reports", NULL };
        _cleanup_settings_ Settings *worker = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        const char **paths;
        json_t *j;

        cr_assert_eq(load_odd("addresses = [ \"one\", \"two\" ]; hidden = \"/srv/hidden\";\n", variables), 0);
        paths = settings_worker_paths(settings, &odd);
        cr_assert(paths && str_eq(paths[0], "/srv/reports") && !paths[1]);
        free(paths);
        j = settings_to_worker_json(settings, &odd);
        cr_assert_eq(settings_from_worker_json(j, &odd, &worker, &e), 0, "%s", error_text(&e));
        json_decref(j);
        (void) settings_free(settings);
        settings = TAKE_PTR(worker);
        assert_items("odd.addresses", "<one><two>");
        cr_assert(str_eq(settings_string(settings, "odd.reports"), "/srv/reports"));
}

Test(settings, what_an_enabled_task_needs_must_be_set) {
        const char *const on[] = { "ODD_TWO=true", NULL }, *const given[] = { "ODD_TWO=true", "ODD_ARN=arn:x", NULL };
        const SettingsProblem *p;

        cr_assert_eq(load_odd("", NULL), 0, "its task is not enabled");
        cr_assert_eq(load_odd("", on), -EBADMSG);
        p = problem("odd.arn", 0, "must be set because task odd_two is enabled");
        cr_assert(strstr(p->hint, "ODD_ARN") && strstr(p->hint, "workers/odd.conf"), "%s", p->hint);
        cr_assert_eq(load_odd("enabled = false;\n", on), 0, "nor is its worker");
        cr_assert_eq(load_odd("", given), 0);
        cr_assert_eq(load_odd("tasks = { odd_two = { enabled = true; }; };\narn = \"arn:x\";\n", NULL), 0);
}

Test(settings, a_file_of_no_family_is_a_problem_where_all_are_known) {
        put("workers/odd.conf", "");
        put("workers/market.conf", "");
        put("workers/.conf", "");
        put("workers/notes.txt", "");
        cr_assert_eq(load_full((SettingsSource){ 0 }), 0);
        cr_assert_eq(load_full((SettingsSource){ .all_families = true }), -EBADMSG);
        cr_assert_eq(problems.n, 1);
        (void) problem(NULL, 0, "there is no family of this name");
}

Test(settings, numbers_as_ecmascript_reads_them) {
        static const struct {
                const char *text;
                double value;
        } good[] = { { " 0x4 ", 4 },
                     { "8125.0", 8125 },
                     { ".02", 0.02 },
                     { "1e3", 1000 },
                     { "0b11", 3 },
                     { "0o17", 15 },
                     { "-3", -3 },
                     { "+7", 7 },
                     { "5.", 5 },
                     { "   ", 0 },
                     { "\xc2\xa0"
                       "12\xe2\x80\xa8",
                       12 },
                     { "Infinity", INFINITY },
                     { "-Infinity", -INFINITY },
                     { "010", 10 },
                     { "1E-2", 0.01 } };
        static const char *const bad[] = { "5n", "1_000", "1,5", "abc", "0x", "-0x10",    "inf",  "nan",
                                           "1e", "0x1p3", ".",   "1 2", "+",  "infinity", "0b12", "1.5.2" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                cr_expect(settings_ecmascript_number(good[i].text) == good[i].value, "'%s'", good[i].text);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_expect(isnan(settings_ecmascript_number(bad[i])), "'%s'", bad[i]);
}

Test(settings, variables_by_the_originals_rules) {
        const char *const good[] = { "MAX_CONCURRENT_RUNNING_TASKS= 0x4 ",
                                     "STATSD_PORT=8125.0",
                                     "JITTER_FRACTION_OF_DELAY=.02",
                                     "LOOPS_ENABLED_MARKET_UPDATER=",
                                     "LOOPS_INTERVAL_MS_MARKET_UPDATER=1e3",
                                     "MARKET_UPDATER_LOCK_MULTIPLIER=0",
                                     NULL };
        const char *const bad[] = { "LOOPS_ENABLED_MARKET_UPDATER=TRUE", "STATSD_PORT=.5",
                                    "JITTER_FRACTION_OF_DELAY=Infinity", "LOOPS_INTERVAL_MS_MARKET_UPDATER=0", NULL };

        cr_assert(load("", good) == 0);
        cr_assert(settings_worker_int(settings, "market", "worker.max_concurrent_running_tasks") == 4);
        cr_assert(settings_int(settings, "statsd.port") == 8125);
        cr_assert(settings_number(settings, "jitter_fraction") == 0.02);
        cr_assert(settings_task_bool(settings, "market", "market_updater", "enabled"));
        cr_assert(settings_task_duration_usec(settings, "market", "market_updater", "interval") == USEC_PER_SEC);
        cr_assert(settings_task_int(settings, "market", "market_updater", "lock_multiplier") == 0);
        cr_assert(load("", bad) == -EBADMSG);
        cr_assert(problems.n == 4);
}

Test(settings, units) {
        SettingSpec duration = { "d", SETTING_DURATION }, size = { "s", SETTING_SIZE };
        SettingRefusal refusal = { 0 };
        SettingValue v = { 0 };

        cr_expect(setting_parse_text(&duration, "1.5 s", &v, &refusal) == 0 && v.integer == 1500000);
        cr_expect(setting_parse_text(&duration, "1 min 30 s", &v, &refusal) == 0 && v.integer == 90000000);
        cr_expect(setting_parse_text(&size, "64 MiB", &v, &refusal) == 0 && v.integer == 64 << 20);
        cr_expect(setting_parse_text(&duration, "1,5 s", &v, &refusal) == -EINVAL);
        cr_expect(setting_parse_text(&duration, "30", &v, &refusal) == -EINVAL);
        cr_expect(setting_parse_text(&duration, "-1 s", &v, &refusal) == -EINVAL);
        cr_expect(setting_parse_text(&duration, "99999999999999999 d", &v, &refusal) == -EINVAL);
        cr_expect(setting_parse_text(&size, "", &v, &refusal) == -EINVAL);
        setting_refusal_done(&refusal);
}
