/* `--run` on real servers: who is in the way, what is taken, given back, printed and left alone. Each run is a process
 * of its own, as from a shell. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/lock.h"
#include "common/postgres_internal.h"
#include "tests/unit/number.h"
#include "workers/run.h"
#include "workers/worker_protocol.h"

static char dir[] = "/tmp/run-XXXXXX";
static char service[32], database[32];
static char key_r[96], key_e[96], key_paused[96], key_epoch[64];
static RedisConn *redis;

/* One command; its reply as text or number, NULL for nil. */
static char *command(const char *const *argv, size_t argc) {
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;
        char *text;

        cr_assert_eq(redis_command(redis, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        text = reply->type == REDIS_REPLY_NIL       ? NULL
               : reply->type == REDIS_REPLY_INTEGER ? str_printf("%lld", reply->integer)
                                                    : strdup(reply->str ?: "");
        freeReplyObject(reply);
        return text;
}
#define REDIS(...)                                                                                                     \
        command((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void assert_redis(char *text, const char *expected) {
        _cleanup_free_ char *t = text;

        cr_assert(str_eq(t, expected), "%s, expected %s", t ?: "(nil)", expected ?: "(nil)");
}

static char *sql(const char *where, const char *text) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_pg_result_ PGresult *result = NULL;
        SqlStatement s = { "test", text };
        PgTarget *target =
                pg_target_new(PG_PRIMARY, getenv("ROUNDTABLE_TEST_PG_HOST"), number(getenv("ROUNDTABLE_TEST_PG_PORT")),
                              where, getenv("ROUNDTABLE_TEST_PG_USER"), NULL, NULL, NULL);
        PgConn *c = NULL;
        char *value;

        cr_assert_eq(pg_conn_connect(target, "test", 0, NULL, &c, &e), 0, "%s", error_text(&e));
        cr_assert_eq(pg_query(c, &s, 0, NULL, NULL, &result, &e), 0, "%s", error_text(&e));
        value = PQntuples(result) > 0 ? strdup(PQgetvalue(result, 0, 0)) : NULL;
        (void) pg_conn_free(c);
        (void) pg_target_free(target);
        return value;
}

static void assert_rows(const char *event, const char *expected) {
        _cleanup_free_ char *text = str_printf("SELECT count(*) FROM testing_runs WHERE event = '%s'", event);
        _cleanup_free_ char *n = sql(database, text);

        cr_assert_str_eq(n, expected, "%s rows of %s, expected %s", n, event, expected);
}

static void write_file(const char *name, const char *text) {
        _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
        FILE *f = fopen(path, "we");

        cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void configure(const char *family_text) {
        _cleanup_free_ char *text = str_printf(
                "service_name = \"%s\"; environment_file = \"%s/environment\";\n"
                "database = { host = \"%s\"; port = %s; name = \"%s\"; user = \"%s\"; use_replica = false; };\n"
                "redis = { url = \"%s\"; };\n",
                service, dir, getenv("ROUNDTABLE_TEST_PG_HOST"), getenv("ROUNDTABLE_TEST_PG_PORT"), database,
                getenv("ROUNDTABLE_TEST_PG_USER"), getenv("ROUNDTABLE_TEST_REDIS_URL"));

        write_file("environment", "");
        write_file("roundtable.conf", text);
        write_file("workers/testing.conf", family_text);
}

static void up(void) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *create = NULL, *workers = NULL;
        int pid = (int) getpid();

        if (!getenv("ROUNDTABLE_TEST_PG_HOST") || !getenv("ROUNDTABLE_TEST_REDIS_URL"))
                cr_skip("ROUNDTABLE_TEST_PG_HOST is not set: run under tests/with-servers");
        cr_assert(mkdtemp(dir));
        workers = str_printf("%s/workers", dir);
        cr_assert_eq(mkdir(workers, 0700), 0);
        (void) snprintf(service, sizeof(service), "run%d", pid);
        (void) snprintf(database, sizeof(database), "run_%d", pid);
        (void) snprintf(key_r, sizeof(key_r), "%s.loops.testing_rows.task_timeouts", service);
        (void) snprintf(key_e, sizeof(key_e), "%s.loops.testing_rows.task_extended_timeouts", service);
        (void) snprintf(key_paused, sizeof(key_paused), "%s.control.testing_rows.paused", service);
        (void) snprintf(key_epoch, sizeof(key_epoch), "%s.control.epoch", service);
        cr_assert_eq(redis_conn_new(getenv("ROUNDTABLE_TEST_REDIS_URL"), "test", 0, NULL, NULL, &redis, &e), 0);
        create = str_printf("CREATE DATABASE %s", database);
        free(sql("postgres", create));
        free(sql(database, "CREATE TABLE testing_runs (run_id text, task text, host text, event text, xid text)"));
        configure("tasks = { testing_rows = { interval = \"10 s\"; }; };\n");
        /* the locks of this service are old */
        free(REDIS("SET", key_epoch, "1"));
}

static void down(void) {
        _cleanup_free_ char *drop = str_printf("DROP DATABASE IF EXISTS %s WITH (FORCE)", database);
        static const char *const names[] = {
                "workers/testing.conf", "environment", "roundtable.conf", "out", "workers", ""
        };

        if (!redis)
                return;
        free(REDIS("DEL", key_r, key_e, key_paused, key_epoch));
        redis = redis_conn_free(redis);
        free(sql("postgres", drop));
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = str_printf("%s/%s", dir, names[i]);

                if (unlink(path) < 0)
                        (void) rmdir(path);
        }
}

TestSuite(run, .init = up, .fini = down, .timeout = 60);

static pid_t start(RunOptions options) {
        _cleanup_free_ char *out = str_printf("%s/out", dir);
        pid_t pid;

        options.conf_dir = dir;
        options.task = options.task ?: "testing_rows";
        (void) fflush(NULL);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
                int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600), code;

                if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
                        _exit(99);
                (void) clearenv();
                code = run_main(&options);
                (void) fflush(NULL);
                _exit(code);
        }
        return pid;
}

static char *output(void) {
        _cleanup_free_ char *path = str_printf("%s/out", dir);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char *text = calloc(1, 8192);

        cr_assert(text && fd >= 0 && read(fd, text, 8191) >= 0);
        return text;
}

static void finish(pid_t pid, int expected, const char *text) {
        _cleanup_free_ char *out = NULL;
        int status;

        cr_assert_eq(waitpid(pid, &status, 0), pid);
        out = output();
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %x, expected %d: %s", (unsigned) status,
                  expected, out);
        cr_assert(strstr(out, text), "\"%s\" is missing in: %s", text, out);
}

/* Waits until the run has written its first row. */
static void await_begin(void) {
        uint64_t end = clock_monotonic_usec() + 20 * USEC_PER_SEC;

        for (;;) {
                _cleanup_free_ char *n = sql(database, "SELECT count(*) FROM testing_runs WHERE event = 'begin'");

                if (!str_eq(n, "0"))
                        return;
                cr_assert_lt(clock_monotonic_usec(), end, "the run did not begin");
                (void) usleep(20000);
        }
}

Test(run, takes_the_locks_and_leaves_the_interval) {
        _cleanup_free_ char *ttl = NULL;

        finish(start((RunOptions){ 0 }), EXIT_CODE_OK, "testing_rows: done in");
        assert_rows("end", "1");
        assert_redis(REDIS("EXISTS", key_e), "0");
        assert_redis(REDIS("GET", key_r), "TIMEOUT NOT EXPIRED");
        ttl = REDIS("PTTL", key_r);
        cr_assert(number(ttl) > 0 && number(ttl) <= 10000, "%s", ttl);
        /* the rest of our own interval is nobody's run */
        finish(start((RunOptions){ 0 }), EXIT_CODE_OK, "testing_rows: done in");
        assert_rows("end", "2");
}

Test(run, a_lock_of_an_original_is_respected) {
        free(REDIS("SET", key_r, "TIMEOUT NOT EXPIRED", "PX", "600000"));
        finish(start((RunOptions){ 0 }), EXIT_CODE_TRY_AGAIN, "another service (original?)");
        assert_rows("begin", "0");
        finish(start((RunOptions){ .force = true }), EXIT_CODE_OK, "done in");
        assert_rows("end", "1");
        /* E is there: no force helps */
        free(REDIS("SET", key_e, "TIMEOUT NOT EXPIRED 00000000-0000-4000-8000-000000000000", "PX", "600000"));
        finish(start((RunOptions){ .force = true }), EXIT_CODE_TRY_AGAIN, "is being run by another service");
        assert_rows("end", "1");
        /* and none of both matters without locks, or is touched */
        finish(start((RunOptions){ .no_lock = true }), EXIT_CODE_OK, "done in");
        assert_rows("end", "2");
        assert_redis(REDIS("GET", key_e), "TIMEOUT NOT EXPIRED 00000000-0000-4000-8000-000000000000");
}

Test(run, waits_when_asked_to) {
        free(REDIS("SET", key_r, "TIMEOUT NOT EXPIRED", "PX", "1500"));
        finish(start((RunOptions){ .wait = true }), EXIT_CODE_OK, "its interval is held by");
        assert_rows("end", "1");
}

Test(run, a_paused_task_is_not_run) {
        free(REDIS("HSET", key_paused, "who", "ann", "reason", "repair"));
        finish(start((RunOptions){ .force = true }), EXIT_CODE_TRY_AGAIN, "is paused");
        assert_rows("begin", "0");
}

Test(run, a_dry_run_writes_nothing) {
        finish(start((RunOptions){ .dry_run = true }), EXIT_CODE_OK, "testing_rows: previewed in");
        assert_rows("begin", "0");
        finish(start((RunOptions){ .task = "testing_more", .dry_run = true, .pages = 2 }), EXIT_CODE_OK,
               "the preview stops here");
        finish(start((RunOptions){ .task = "testing_more" }), EXIT_CODE_OK, "done in");
        assert_rows("slice", "3");
}

Test(run, the_lock_is_renewed_while_the_run_lasts) {
        long long before = 0;
        pid_t pid;

        /* E lives for 1 s, the run takes three: each time that E has longer to live than before it was renewed */
        configure("rows_sleep = \"3 s\"; tasks = { testing_rows = { interval = \"1 s\"; lock_multiplier = 1; }; };\n");
        pid = start((RunOptions){ 0 });
        await_begin();
        for (int renewals = 0; renewals < 4;) {
                _cleanup_free_ char *ttl = REDIS("PTTL", key_e);
                const long long now = number(ttl);

                cr_assert_gt(now, 0, "after %d renewals: %s", renewals, ttl);
                renewals += now > before;
                before = now;
        }
        finish(pid, EXIT_CODE_OK, "done in");
        assert_rows("end", "1");
}

Test(run, a_lost_lock_ends_the_run) {
        pid_t pid;

        configure("rows_sleep = \"30 s\"; tasks = { testing_rows = { interval = \"1 s\"; lock_multiplier = 1; }; };\n");
        pid = start((RunOptions){ 0 });
        await_begin();
        free(REDIS("SET", key_e, "TIMEOUT NOT EXPIRED 00000000-0000-4000-8000-000000000000", "PX", "600000"));
        finish(pid, EXIT_CODE_FAILED, "reason: ");
        assert_rows("end", "0");
        /* somebody else's lock is not released */
        assert_redis(REDIS("GET", key_e), "TIMEOUT NOT EXPIRED 00000000-0000-4000-8000-000000000000");
}

Test(run, an_interrupt_cancels_and_releases) {
        pid_t pid;

        configure("rows_sleep = \"30 s\"; tasks = { testing_rows = { interval = \"10 s\"; }; };\n");
        pid = start((RunOptions){ 0 });
        await_begin();
        cr_assert_eq(kill(pid, SIGINT), 0);
        finish(pid, EXIT_CODE_FAILED, "cancelled after");
        assert_redis(REDIS("EXISTS", key_e), "0");
        assert_rows("end", "0");
}

Test(run, an_emptied_redis_is_waited_for) {
        free(REDIS("DEL", key_epoch));
        finish(start((RunOptions){ 0 }), EXIT_CODE_OK, "waiting for owners of locks");
        assert_rows("end", "1");
}

Test(run, mistakes_have_their_exit_codes) {
        finish(start((RunOptions){ .task = "no_such_task" }), EXIT_CODE_USAGE, "there is no task no_such_task");
        configure("tasks = { testing_rows = { interval = \"a while\"; }; };\n");
        finish(start((RunOptions){ 0 }), EXIT_CODE_CONFIG, "interval");
        configure("");
        free(sql(database, "DROP TABLE testing_runs"));
        finish(start((RunOptions){ 0 }), EXIT_CODE_FAILED, "testing_runs");
}
