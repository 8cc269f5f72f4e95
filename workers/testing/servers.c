/* Tasks that use one server each, for what happens when that server does not do its part. */

#include <stdio.h>

#include "workers/testing/testing.h"

static const SqlStatement sleep_long = { "sleep_long", "SELECT pg_sleep($1::float8)" };
static const SqlStatement insert_published = {
        "insert_published",
        "INSERT INTO testing_published (run_id) VALUES ($1) RETURNING id",
};

int testing_query_run(TaskContext *ctx) {
        double seconds = (double) settings_duration_usec(task_settings(ctx), "testing.query_sleep") / 1e6;
        _cleanup_error_ Error e = ERROR_INIT;
        char text[64];
        int r;

        (void) snprintf(text, sizeof(text), "%.6f", seconds);
        r = testing_row(ctx, "begin", &e);
        if (r >= 0)
                r = task_query(ctx, PG_PRIMARY, &sleep_long, 1, (const char *const[]){ text }, NULL, &e);
        if (r >= 0)
                r = testing_row(ctx, "end", &e);
        return r < 0 ? task_fail(ctx, &e) : 0;
}

static int publish(TaskContext *ctx, const char *text, Error *reterr) {
        KafkaMessage message = {
                .topic = settings_string(task_settings(ctx), "testing.kafka_topic"),
                .value = text,
                .value_length = strlen(text),
        };

        return task_publish(ctx, &message, 1, NULL, reterr);
}

int testing_kafka_run(TaskContext *ctx) {
        _cleanup_error_ Error e = ERROR_INIT;

        return publish(ctx, task_run_id(ctx), &e) < 0 ? task_fail(ctx, &e) : 0;
}

/* Killed between publishing and COMMIT, a consumer has an id that the database will never have: what tests of crash
 * safety must notice. */
int testing_publish_first_run(TaskContext *ctx) {
        _cleanup_pg_result_ PGresult *result = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = task_begin(ctx, &e);
        if (r < 0)
                return task_fail(ctx, &e);
        r = task_query(ctx, PG_PRIMARY, &insert_published, 1, (const char *const[]){ task_run_id(ctx) }, &result, &e);
        if (r >= 0)
                r = publish(ctx, PQgetvalue(result, 0, 0), &e);
        if (r >= 0)
                r = task_commit(ctx, &e);
        if (r >= 0)
                return 0;
        task_rollback(ctx);
        return task_fail(ctx, &e);
}

int testing_http_run(TaskContext *ctx) {
        HttpRequest request = { .name = "testing.get", .url = settings_string(task_settings(ctx), "testing.http_url") };
        HttpResponse response = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = task_http(ctx, &request, false, &response, &e);
        if (r < 0)
                return task_fail(ctx, &e);
        task_field_int(ctx, "status", response.status);
        http_response_done(&response);
        return 0;
}
