/* A family for the tests, in builds with -Dtesting=true only. All of its tasks are disabled unless a test's
 * configuration enables them. */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        { .name = "testing_abort",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Calls abort() while testing_control says so" },
        { .name = "testing_hang",
          .class = TASK_LONG,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Never returns and ignores its cancellation while testing_control says so" },
        { .name = "testing_http",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Asks testing.http_url for its status" },
        { .name = "testing_kafka",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Publishes its run id to testing.kafka_topic" },
        { .name = "testing_more",
          .class = TASK_LONG,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Returns TASK_MORE until it has written testing.more_slices rows for its run" },
        { .name = "testing_publish_first",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Broken on purpose: publishes a row before the COMMIT that stores it" },
        { .name = "testing_query",
          .class = TASK_LONG,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "One statement that takes testing.query_sleep" },
        { .name = "testing_rows",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Writes a row at its begin and one at its end, testing.rows_sleep apart" },
        { .name = "testing_rows_nolock",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 0,
          .help = "The same without an extended lock in the original" },
        { .name = "testing_segfault",
          .class = TASK_SHORT,
          .interval = "200 ms",
          .multiplier = 10,
          .help = "Writes to address 0 while testing_control says so" },
        { 0 },
};

static const SettingSpec settings[] = {
        { "host", SETTING_STRING, .help = "Name written into rows; unset: the host's." },
        { "http_url", SETTING_STRING, "http://127.0.0.1:1/", .help = "What testing_http asks." },
        { "kafka_topic", SETTING_STRING, "to-websockets-markets",
          .help = "Where testing_kafka and "
                  "testing_publish_first publish." },
        { "more_slices", SETTING_INT, "3", "1", "1000000", .help = "Slices of one run of testing_more." },
        { "query_sleep", SETTING_DURATION, "1 s", "0 s", "1 h", .help = "How long testing_query's statement takes." },
        { "rows_sleep", SETTING_DURATION, "50 ms", "0 s", "1 h", .help = "Time between the two rows of testing_rows." },
        { NULL },
};

static const char *const secrets[] = { "database.password", "kafka.sasl_password", "redis.url", NULL };

extern const FamilyManifest testing_manifest;
const FamilyManifest testing_manifest = {
        .name = "testing",
        .help = "tasks that misbehave on request",
        .tasks = tasks,
        .settings = settings,
        .secrets = secrets,
};
