/* The task context on a real PostgreSQL and Redis: what a dry run leaves alone, what is committed and what is not, and
 * which pending names survive. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/unit/number.h"
#include "workers/registry.h"
#include "workers/task_context.h"

/* Tests run side by side: each has a table, keys and an application_name of its own. */
static char create_text[128], drop_text[128], insert_text[128], count_text[128], terminate_text[256];
static char service[32], task[32], pending_key[96], other_key[64];
static const SqlStatement create_table = { "create", create_text };
static const SqlStatement drop_table = { "drop", drop_text };
static const SqlStatement insert = { "insert", insert_text };
static const SqlStatement count_rows = { "count_rows", count_text };
static const SqlStatement wrong = { "wrong", "SELECT 1/0" };
static const SqlStatement terminate = { "terminate", terminate_text };

static void name_everything(void) {
        int pid = (int) getpid();

        (void) snprintf(create_text, sizeof(create_text), "CREATE TABLE context_rows_%d (n integer PRIMARY KEY)", pid);
        (void) snprintf(drop_text, sizeof(drop_text), "DROP TABLE IF EXISTS context_rows_%d", pid);
        (void) snprintf(insert_text, sizeof(insert_text), "INSERT INTO context_rows_%d VALUES ($1::integer)", pid);
        (void) snprintf(count_text, sizeof(count_text), "SELECT count(*) FROM context_rows_%d", pid);
        (void) snprintf(service, sizeof(service), "unit%d", pid);
        (void) snprintf(task, sizeof(task), "rows%d", pid);
        (void) snprintf(terminate_text, sizeof(terminate_text),
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'roundtable/testing/%s'",
                        task);
        (void) snprintf(pending_key, sizeof(pending_key), "%s.control.%s.pending", service, task);
        (void) snprintf(other_key, sizeof(other_key), "%s.key", service);
}

static char dir[] = "/tmp/task-context-XXXXXX";
static Settings *settings;
static PgPool *pool;
static CancelToken *token;
static TaskConnections connections;
static bool may_commit_answer;
static uint64_t progress_done;

static bool may_commit(const char *name, _unused_ void *userdata) {
        cr_assert_str_eq(name, task);
        return may_commit_answer;
}

static void on_progress(_unused_ const char *name, uint64_t done, _unused_ uint64_t total, _unused_ const char *unit,
                        _unused_ void *userdata) {
        progress_done = done;
}

static TaskServices services;

static void load(void) {
        _cleanup_free_ char *path = str_printf("%s/roundtable.conf", dir);
        SettingsSource source = { .conf_dir = dir };
        SettingsProblems problems = { 0 };
        _cleanup_free_ char *text = NULL;
        FILE *f = fopen(path, "we");
        int r;

        cr_assert(f);
        (void) fprintf(f,
                       "service_name = \"%s\";\n"
                       "database = { host = \"%s\"; port = %s; name = \"%s\"; user = \"%s\"; use_replica = false; };\n"
                       "redis = { url = \"%s\"; };\n",
                       service, getenv("ROUNDTABLE_TEST_PG_HOST"), getenv("ROUNDTABLE_TEST_PG_PORT"),
                       getenv("ROUNDTABLE_TEST_PG_DATABASE"), getenv("ROUNDTABLE_TEST_PG_USER"),
                       getenv("ROUNDTABLE_TEST_REDIS_URL"));
        cr_assert_eq(fclose(f), 0);
        r = settings_load(&source, family_manifests, &settings, &problems);
        text = settings_problems_format(&problems);
        settings_problems_done(&problems);
        (void) unlink(path);
        cr_assert_eq(r, 0, "%s", text);
}

static TaskContext *context(const char *run_id, bool dry_run) {
        TaskOptions options = { .task = task,
                                .run_id = run_id,
                                .now_usec = 1000000,
                                .max_run_usec = 20 * USEC_PER_SEC,
                                .dry_run = dry_run };
        TaskContext *ctx = NULL;

        cr_assert_eq(task_context_new(&services, &options, &connections, token, &ctx), 0);
        return ctx;
}
#define _context_ _cleanup_(task_context_freep) TaskContext *

static int sql(TaskContext *ctx, const SqlStatement *statement, const char *param) {
        _cleanup_error_ Error e = ERROR_INIT;

        return task_query(ctx, PG_PRIMARY, statement, param ? 1 : 0, &param, NULL, &e);
}

static int rows(TaskContext *ctx) {
        _cleanup_pg_result_ PGresult *result = NULL;
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(task_query(ctx, PG_PRIMARY, &count_rows, 0, NULL, &result, &e), 0, "%s", error_text(&e));
        return number(PQgetvalue(result, 0, 0));
}

static int rows_of_others(void) {
        _context_ ctx = context("looker", false);

        return rows(ctx);
}

/* One command; its reply as text or number, NULL for nil. */
static char *redis(const char *const *argv, size_t argc) {
        _cleanup_error_ Error e = ERROR_INIT;
        RedisConn *c = NULL;
        redisReply *reply = NULL;
        char *text;

        cr_assert_eq(redis_conn_new(getenv("ROUNDTABLE_TEST_REDIS_URL"), "unit", 0, NULL, NULL, &c, &e), 0);
        cr_assert_eq(redis_command(c, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        text = reply->type == REDIS_REPLY_NIL       ? NULL
               : reply->type == REDIS_REPLY_INTEGER ? str_printf("%lld", reply->integer)
                                                    : strdup(reply->str ?: "");
        freeReplyObject(reply);
        (void) redis_conn_free(c);
        return text;
}
#define REDIS(...)                                                                                                     \
        redis((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void assert_redis(char *text, const char *expected) {
        _cleanup_free_ char *t = text;

        cr_assert(str_eq(t, expected), "%s, expected %s", t ?: "(nil)", expected ?: "(nil)");
}

static void up(void) {
        if (!getenv("ROUNDTABLE_TEST_PG_HOST") || !getenv("ROUNDTABLE_TEST_REDIS_URL"))
                cr_skip("ROUNDTABLE_TEST_PG_HOST is not set: run under tests/with-servers");
        cr_assert(mkdtemp(dir));
        name_everything();
        load();
        may_commit_answer = true;
        cr_assert_eq(cancel_token_new(&token), 0);
        cr_assert_eq(pg_pool_new(settings, "testing", NULL, NULL, &pool), 0);
        services = (TaskServices){ .settings = settings,
                                   .family = "testing",
                                   .postgres = pool,
                                   .may_commit = may_commit,
                                   .on_progress = on_progress };
        {
                _context_ ctx = context("setup", false);

                cr_assert_eq(sql(ctx, &drop_table, NULL), 0);
                cr_assert_eq(sql(ctx, &create_table, NULL), 0);
        }
}

static void down(void) {
        task_connections_done(&connections);
        free(REDIS("DEL", pending_key, other_key));
        if (pool) {
                _context_ ctx = context("end", false);

                (void) sql(ctx, &drop_table, NULL);
        }
        pool = pg_pool_free(pool);
        token = cancel_token_free(token);
        settings = settings_free(settings);
        (void) rmdir(dir);
}

TestSuite(task_context, .init = up, .fini = down);

Test(task_context, commit_and_rollback) {
        _context_ ctx = context("a", false);
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(task_begin(ctx, &e), 0);
        cr_assert_eq(sql(ctx, &insert, "1"), 0);
        cr_assert_eq(rows_of_others(), 0);
        cr_assert_eq(task_commit(ctx, &e), 0);
        cr_assert_eq(rows_of_others(), 1);
        cr_assert_eq(task_begin(ctx, &e), 0);
        cr_assert_eq(task_begin(ctx, &e), -EINVAL);
        cr_assert_eq(sql(ctx, &insert, "2"), 0);
        task_rollback(ctx);
        cr_assert_eq(rows(ctx), 1);
        cr_assert_eq(task_commit(ctx, &e), -EINVAL);
        cr_assert_geq(task_context_round_trips(ctx), 7);
}

Test(task_context, rows_are_copied_within_a_transaction) {
        char text[128];
        const SqlStatement copy = { "copy", text };
        _context_ ctx = context("a", false);
        _context_ dry = context("b", true);
        _cleanup_error_ Error e = ERROR_INIT;

        (void) snprintf(text, sizeof(text), "COPY context_rows_%d FROM STDIN", (int) getpid());
        cr_assert_eq(task_copy_begin(ctx, &copy, &e), -EINVAL);
        for (int i = 0; i < 2; i++) {
                TaskContext *c = i == 0 ? dry : ctx;

                cr_assert_eq(task_begin(c, &e), 0);
                cr_assert_eq(task_copy_begin(c, &copy, &e), 0, "%s", error_text(&e));
                cr_assert_eq(sql(c, &insert, "3"), -EBUSY);
                cr_assert_eq(task_copy_put(c, "1\n2", 3, &e), 0);
                cr_assert_eq(task_copy_put(c, "\n", 1, &e), 0);
                cr_assert_eq(task_copy_end(c, &e), 0, "%s", error_text(&e));
                cr_assert_eq(rows(c), 2);
                cr_assert_eq(task_commit(c, &e), 0);
                if (c == dry)
                        dry = task_context_free(dry);
        }
        cr_assert_eq(rows_of_others(), 2);
        /* one that is not ended leaves nothing behind, and the next transaction has a connection of its own */
        cr_assert_eq(task_begin(ctx, &e), 0);
        cr_assert_eq(task_copy_begin(ctx, &copy, &e), 0);
        cr_assert_eq(task_copy_put(ctx, "3\n", 2, &e), 0);
        task_rollback(ctx);
        cr_assert_eq(rows(ctx), 2);
}

Test(task_context, what_is_left_open_is_rolled_back) {
        {
                _context_ ctx = context("a", false);

                cr_assert_eq(task_begin(ctx, NULL), 0);
                cr_assert_eq(sql(ctx, &insert, "1"), 0);
        }
        cr_assert_eq(rows_of_others(), 0);
}

Test(task_context, the_gate_refuses_a_commit) {
        _context_ ctx = context("a", false);
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(task_begin(ctx, &e), 0);
        cr_assert_eq(sql(ctx, &insert, "1"), 0);
        may_commit_answer = false;
        cr_assert_eq(task_commit(ctx, &e), -ECANCELED);
        cr_assert_eq(e.kind, ERROR_CANCELED);
        task_rollback(ctx);
        may_commit_answer = true;
        cr_assert_eq(rows(ctx), 0);
        /* the connection is fit for the next transaction */
        cr_assert_eq(task_begin(ctx, &e), 0);
        cr_assert_eq(sql(ctx, &insert, "2"), 0);
        cr_assert_eq(task_commit(ctx, &e), 0);
        cr_assert_eq(rows_of_others(), 1);
}

/* What follows a lost connection must not be done on its own, outside the transaction it belongs to. */
Test(task_context, a_lost_transaction_is_not_replaced_under_the_task) {
        _context_ ctx = context("a", false);
        _cleanup_error_ Error e = ERROR_INIT;
        PgConn *other = NULL;

        cr_assert_eq(pg_pool_acquire(pool, PG_PRIMARY, "killer", USEC_PER_SEC, token, &other, &e), 0);
        cr_assert_eq(task_begin(ctx, &e), 0);
        cr_assert_eq(sql(ctx, &insert, "1"), 0);
        cr_assert_eq(pg_query(other, &terminate, 0, NULL, token, NULL, &e), 0, "%s", error_text(&e));
        pg_pool_release(pool, other);
        cr_assert_lt(sql(ctx, &insert, "2"), 0);
        cr_assert_lt(sql(ctx, &insert, "3"), 0);
        cr_assert_lt(task_commit(ctx, &e), 0);
        task_rollback(ctx);
        cr_assert_eq(rows(ctx), 0);
        cr_assert_eq(sql(ctx, &insert, "4"), 0);
        cr_assert_eq(rows_of_others(), 1);
}

Test(task_context, a_dry_run_leaves_both_servers_untouched) {
        _cleanup_redis_pipeline_ RedisPipeline *write = NULL, *read = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        bool done = true, delivered[1] = { false };
        KafkaMessage message = { .topic = "t", .value = "v", .value_length = 1 };
        HttpRequest request = { .name = "billed", .url = "http://127.0.0.1:1/?key=secret" };
        HttpResponse response = { 0 };

        free(REDIS("SET", other_key, "old"));
        {
                _context_ ctx = context("dry", true);

                /* a statement of its own, a failed one, a transaction, one that is rolled back */
                cr_assert_eq(sql(ctx, &insert, "1"), 0);
                cr_assert_lt(sql(ctx, &wrong, NULL), 0);
                cr_assert_eq(rows(ctx), 1);
                cr_assert_eq(task_begin(ctx, &e), 0);
                cr_assert_eq(sql(ctx, &insert, "2"), 0);
                cr_assert_eq(task_commit(ctx, &e), 0);
                cr_assert_eq(task_begin(ctx, &e), 0);
                cr_assert_eq(sql(ctx, &insert, "3"), 0);
                cr_assert_lt(sql(ctx, &wrong, NULL), 0);
                task_rollback(ctx);
                cr_assert_eq(rows(ctx), 2);
                cr_assert_eq(rows_of_others(), 0);

                cr_assert_eq(redis_pipeline_new(&write), 0);
                cr_assert_eq(redis_pipeline_addv(write, "SET", other_key, "new", NULL), 0);
                cr_assert_eq(task_redis_write(ctx, "set", write, &done, &e), 0);
                cr_assert_not(done);
                cr_assert_null(redis_pipeline_reply(write, 0));
                cr_assert_eq(redis_pipeline_new(&read), 0);
                cr_assert_eq(redis_pipeline_addv(read, "GET", other_key, NULL), 0);
                cr_assert_eq(task_redis_read(ctx, "get", read, &e), 0, "%s", error_text(&e));
                cr_assert_str_eq(redis_pipeline_reply(read, 0)->str, "old");

                cr_assert_eq(task_publish(ctx, &message, 1, delivered, &e), 0);
                cr_assert(delivered[0]);
                cr_assert_eq(task_http(ctx, &request, true, &response, &e), -ENODATA);
        }
        cr_assert_eq(rows_of_others(), 0);
        assert_redis(REDIS("GET", other_key), "old");
}

Test(task_context, pending_names_outlive_the_run_that_added_them) {
        const char *const names[] = { "b", "a", "c" };
        _cleanup_(task_pending_freep) TaskPending *first = NULL, *second = NULL, *third = NULL;
        _context_ crashed = context("run-1", false);
        _context_ next = context("run-2", false);
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(task_pending_load(crashed, &first, &e), 0, "%s", error_text(&e));
        cr_assert_eq(task_pending_count(first), 0);
        cr_assert_eq(task_pending_add(crashed, first, names, 3, &e), 0, "%s", error_text(&e));
        assert_redis(REDIS("HGET", pending_key, "b"), "run-1");

        cr_assert_eq(task_pending_load(next, &second, &e), 0);
        cr_assert_eq(task_pending_count(second), 3);
        cr_assert(task_pending_has(second, "a") && task_pending_has(second, "c") && !task_pending_has(second, "d"));
        /* names borrowed from the object itself, one twice, one nobody knows */
        cr_assert_eq(
                task_pending_remove(next, second,
                                    (const char *const[]){ task_pending_name(second, 0), task_pending_name(second, 0),
                                                           task_pending_name(second, 1), "unknown" },
                                    4, &e),
                0, "%s", error_text(&e));
        cr_assert_eq(task_pending_count(second), 1);
        assert_redis(REDIS("HLEN", pending_key), "1");

        cr_assert_eq(task_pending_load(next, &third, &e), 0);
        cr_assert_eq(task_pending_count(third), 1);
        cr_assert_str_eq(task_pending_name(third, 0), task_pending_name(second, 0));
}

Test(task_context, pending_names_of_a_newer_run_stay) {
        const char *const names[] = { "a", "b" };
        _cleanup_(task_pending_freep) TaskPending *old = NULL, *new = NULL;
        _context_ slow = context("run-1", false);
        _context_ newer = context("run-2", false);
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(task_pending_load(slow, &old, &e), 0);
        cr_assert_eq(task_pending_add(slow, old, names, 2, &e), 0);
        cr_assert_eq(task_pending_load(newer, &new, &e), 0);
        cr_assert_eq(task_pending_add(newer, new, names, 1, &e), 0);
        cr_assert_eq(task_pending_remove(slow, old, names, 2, &e), 0);
        assert_redis(REDIS("HGET", pending_key, "a"), "run-2");
        assert_redis(REDIS("HGET", pending_key, "b"), NULL);
        cr_assert_eq(task_pending_remove(newer, new, names, 1, &e), 0);
        assert_redis(REDIS("EXISTS", pending_key), "0");
}

Test(task_context, pending_names_fail_with_the_key_in_the_text) {
        _cleanup_(task_pending_freep) TaskPending *p = NULL;
        _context_ ctx = context("run-1", false);
        _cleanup_error_ Error e = ERROR_INIT;

        free(REDIS("SET", pending_key, "not a hash"));
        cr_assert_eq(task_pending_load(ctx, &p, &e), -EBADMSG);
        cr_assert(strstr(error_text(&e), pending_key), "%s", error_text(&e));
        free(REDIS("DEL", pending_key));
        cr_assert_eq(task_pending_load(ctx, &p, NULL), 0);
        free(REDIS("SET", pending_key, "not a hash"));
        /* the caller must learn of it: it has to roll back */
        cr_assert_eq(task_pending_add(ctx, p, (const char *const[]){ "a" }, 1, &e), -EBADMSG);
        cr_assert_not(task_pending_has(p, "a"));
}

Test(task_context, bad_items_are_reported_up_to_a_limit) {
        _context_ ctx = context("a", false);
        int fds[2], saved = dup(STDERR_FILENO);
        FILE *f;
        char line[512];
        size_t reported = 0;

        cr_assert_eq(pipe2(fds, 0), 0);
        (void) fflush(stderr);
        cr_assert_geq(dup2(fds[1], STDERR_FILENO), 0);
        log_init("unit", LOG_TARGET_CONSOLE, LOG_LEVEL_INFO);
        for (int i = 0; i < 45; i++)
                task_item_failed(ctx, "market X", "no price at %d", i);
        (void) dup2(saved, STDERR_FILENO);
        (void) close(saved);
        (void) close(fds[1]);
        f = fdopen(fds[0], "r");
        while (fgets(line, sizeof(line), f))
                if (strstr(line, "market X"))
                        reported++;
        (void) fclose(f);
        cr_assert_eq(reported, 20, "%zu", reported);
        cr_assert_eq(task_context_items_failed(ctx), 45);
}

Test(task_context, progress_fields_and_failure) {
        _context_ ctx = context("a", false);
        Error e = ERROR_INIT;
        const TaskField *fields;
        uint64_t before;
        size_t n;

        /* moved to where only progress can bring it back from */
        cancel_token_set_deadline(token, clock_monotonic_usec() + USEC_PER_SEC);
        before = cancel_token_deadline(token);
        task_progress(ctx, 7, 10, "rows");
        cr_assert_eq(progress_done, 7);
        cr_assert_gt(cancel_token_deadline(token), before + 10 * USEC_PER_SEC);
        task_field_int(ctx, "markets", 1);
        task_field_int(ctx, "rows", 5);
        task_field_int(ctx, "markets", 2);
        fields = task_context_fields(ctx, &n);
        cr_assert_eq(n, 2);
        cr_assert_eq(fields[0].value, 2);
        (void) error_set(&e, ERROR_NEVER, 0, "no errno of its own");
        cr_assert_eq(task_fail(ctx, &e), -EIO);
        cr_assert_eq(task_context_error(ctx)->err, -EIO);
        cr_assert_null(e.text);
}

Test(task_context, a_parked_run_holds_no_connection) {
        _context_ ctx = context("a", false);
        PgConn *c[2] = { NULL, NULL };
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t trips, commands;

        cr_assert_eq(sql(ctx, &insert, "1"), 0);
        trips = task_context_round_trips(ctx);
        commands = task_context_commands(ctx);
        task_context_park(ctx);
        cr_assert_eq(task_context_round_trips(ctx), trips);
        cr_assert_eq(task_context_commands(ctx), commands);
        /* the pool has two; both can be had */
        for (size_t i = 0; i < 2; i++)
                cr_assert_eq(pg_pool_acquire(pool, PG_PRIMARY, "t", 0, token, &c[i], &e), 0, "%s", error_text(&e));
        for (size_t i = 0; i < 2; i++)
                pg_pool_release(pool, c[i]);
        task_context_use(ctx, &connections);
        cr_assert_eq(rows(ctx), 1);
        cr_assert_gt(task_context_round_trips(ctx), trips);
        cr_assert_eq(task_context_commands(ctx), commands + 1);
}

static unsigned freed;

static void count_free(void *data) {
        freed++;
        free(data);
}

Test(task_context, kept_data_and_fields_outlive_a_slice) {
        TaskKept kept = { 0 };
        TaskOptions options = { .task = task, .run_id = "a", .max_run_usec = USEC_PER_SEC, .kept = &kept };
        TaskContext *ctx = NULL;
        const TaskField *fields;
        char *data;
        size_t n;

        /* slices with contexts of their own, as in the service */
        cr_assert_eq(task_context_new(&services, &options, &connections, token, &ctx), 0);
        cr_assert_null(task_kept(ctx));
        data = strdup("kept");
        task_keep(ctx, data, count_free);
        task_keep(ctx, data, count_free);
        task_context_free(ctx);
        cr_assert_eq(freed, 0);
        cr_assert_eq(task_context_new(&services, &options, &connections, token, &ctx), 0);
        cr_assert_str_eq(task_kept(ctx), "kept");
        task_keep(ctx, strdup("newer"), count_free);
        cr_assert_eq(freed, 1);
        task_context_free(ctx);
        task_kept_done(&kept);
        cr_assert_eq(freed, 2);
        cr_assert_null(kept.data);

        /* slices that share one, as in the foreground */
        ctx = context("a", false);
        task_keep(ctx, strdup("kept"), count_free);
        task_field_int(ctx, "rows", 5);
        task_context_next_slice(ctx);
        cr_assert_str_eq(task_kept(ctx), "kept");
        task_field_int(ctx, "rows", 1);
        task_field_int(ctx, "rows", 2);
        fields = task_context_fields(ctx, &n);
        cr_assert_eq(n, 1);
        cr_assert_eq(fields[0].value, 7);
        task_context_free(ctx);
        cr_assert_eq(freed, 3);
}
