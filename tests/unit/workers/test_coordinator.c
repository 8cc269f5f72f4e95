/* The coordinator against a real Redis: exclusion, re-assertion, predecessors, frozen servers, pauses. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "workers/coordinator.h"

#define WAIT_USEC (20 * USEC_PER_SEC)

typedef struct Fixture {
        const char *url;
        char service[64];
        RedisConn *redis;
        /* a server of the test's own, to be frozen */
        pid_t server;
        char directory[32], own_url[64];
} Fixture;

static char *text(const char *format, const char *a, const char *b) {
        char *s = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        cr_assert_not_null(s = str_printf(format, a, b));
#pragma GCC diagnostic pop
        return s;
}

static redisReply *run(RedisConn *c, size_t argc, const char *const *argv) {
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;

        cr_assert_eq(redis_command(c, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        return reply;
}
#define RUN(c, ...)                                                                                                    \
        run(c, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })

static void set_epoch(Fixture *f) {
        _cleanup_free_ char *key = text("%s.control.epoch%s", f->service, "");

        freeReplyObject(RUN(f->redis, "SET", key, "1"));
}

static void fixture_init(Fixture *f) {
        _cleanup_error_ Error e = ERROR_INIT;
        char uuid[UUID_TEXT_SIZE];

        *f = (Fixture){ .url = getenv("ROUNDTABLE_TEST_REDIS_URL") };
        if (!f->url)
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        (void) snprintf(f->service, sizeof(f->service), "unit-%s", random_uuid(uuid));
        cr_assert_eq(redis_conn_new(f->url, "unit test", 0, NULL, NULL, &f->redis, &e), 0, "%s", error_text(&e));
        set_epoch(f);
}

static void fixture_done(Fixture *f) {
        char path[64];

        (void) redis_conn_free(f->redis);
        if (!f->directory[0])
                return;
        if (f->server > 0) {
                (void) kill(f->server, SIGKILL);
                (void) waitpid(f->server, NULL, 0);
        }
        (void) snprintf(path, sizeof(path), "%s/redis.sock", f->directory);
        (void) unlink(path);
        (void) rmdir(f->directory);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static void exec_server(const char *directory) {
        const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || chdir(directory) < 0)
                _exit(1);
        (void) execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
                      "--appendonly", "no", (char *) NULL);
        _exit(1);
}

/* The socket's file is there a moment before connections are accepted. */
static bool listens(const char *path) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        bool accepted;

        cr_assert_geq(fd, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        accepted = connect(fd, (const struct sockaddr *) &address, sizeof(address)) == 0;
        (void) close(fd);
        return accepted;
}

static void server_start(Fixture *f) {
        char path[64];

        (void) snprintf(path, sizeof(path), "%s/redis.sock", f->directory);
        (void) unlink(path);
        f->server = fork();
        cr_assert_geq(f->server, 0);
        if (f->server == 0)
                exec_server(f->directory);
        for (const uint64_t until = clock_monotonic_usec() + WAIT_USEC; !listens(path);) {
                cr_assert_lt(clock_monotonic_usec(), until, "redis-server did not start");
                (void) poll(NULL, 0, 10);
        }
}

static void server_kill(Fixture *f) {
        (void) kill(f->server, SIGKILL);
        cr_assert_eq(waitpid(f->server, NULL, 0), f->server);
        f->server = 0;
}

/* Another server on the same service name; with it the test may do what it likes. */
static void fixture_init_own(Fixture *f) {
        _cleanup_error_ Error e = ERROR_INIT;

        fixture_init(f);
        f->redis = redis_conn_free(f->redis);
        (void) snprintf(f->directory, sizeof(f->directory), "/tmp/coordinator.XXXXXX");
        cr_assert_not_null(mkdtemp(f->directory));
        (void) snprintf(f->own_url, sizeof(f->own_url), "unix://%s/redis.sock", f->directory);
        f->url = f->own_url;
        server_start(f);
        cr_assert_eq(redis_conn_new(f->url, "unit test", 0, NULL, NULL, &f->redis, &e), 0, "%s", error_text(&e));
        set_epoch(f);
}

/* Returns when the server has stopped: kill() alone returns while it may still answer. */
static void freeze(Fixture *f) {
        int status;

        cr_assert_eq(kill(f->server, SIGSTOP), 0);
        cr_assert_eq(waitpid(f->server, &status, WUNTRACED), f->server);
        cr_assert(WIFSTOPPED(status));
}

static void thaw(Fixture *f) {
        cr_assert_eq(kill(f->server, SIGCONT), 0);
}

static Coordinator *start_patient(const Fixture *f, const char *instance, const LockTask *tasks, size_t n,
                                  const char *dead, uint64_t command_timeout_usec) {
        const CoordinatorOptions options = {
                .redis_url = f->url,
                .identity = { .service = f->service, .host = "unit", .worker = "test", .instance = instance },
                .tasks = tasks,
                .n_tasks = n,
                .dead_instances = &dead,
                .n_dead = dead ? 1 : 0,
                .reconnect_delay_usec = 50 * USEC_PER_MSEC,
                .command_timeout_usec = command_timeout_usec,
        };
        Coordinator *c = NULL;

        cr_assert_eq(coordinator_new(&options, &c), 0);
        return c;
}

static Coordinator *start(const Fixture *f, const char *instance, const LockTask *tasks, size_t n, const char *dead) {
        return start_patient(f, instance, tasks, n, dead, 0);
}

/* The next event that is of `type`; others are dropped. False after the time is over. */
static bool wait_event_for(Coordinator *c, CoordinatorEventType type, uint64_t usec, CoordinatorEvent *ret) {
        const uint64_t until = clock_monotonic_usec() + usec;

        for (;;) {
                struct pollfd p = { .fd = coordinator_fd(c), .events = POLLIN };
                const uint64_t now = clock_monotonic_usec();

                while (coordinator_next(c, ret)) {
                        if (ret->type == type)
                                return true;
                        coordinator_event_done(ret);
                }
                if (now >= until)
                        return false;
                (void) poll(&p, 1, (int) ((until - now) / USEC_PER_MSEC) + 1);
        }
}

static CoordinatorEvent wait_event(Coordinator *c, CoordinatorEventType type) {
        CoordinatorEvent e = { 0 };

        cr_assert(wait_event_for(c, type, WAIT_USEC, &e), "no event of type %d came", (int) type);
        return e;
}

static CoordinatorEvent wait_any_event(Coordinator *c) {
        const uint64_t until = clock_monotonic_usec() + WAIT_USEC;
        CoordinatorEvent e;

        while (!coordinator_next(c, &e)) {
                cr_assert_lt(clock_monotonic_usec(), until, "no event came");
                (void) poll(&(struct pollfd){ .fd = coordinator_fd(c), .events = POLLIN }, 1, 1000);
        }
        return e;
}

static void expect_event(Coordinator *c, CoordinatorEventType type) {
        CoordinatorEvent e = wait_event(c, type);

        coordinator_event_done(&e);
}

static bool exists(Fixture *f, const char *task, const char *suffix) {
        _cleanup_free_ char *name = text("%s.loops.%s", f->service, task), *key = text("%s.%s", name, suffix);
        redisReply *reply = RUN(f->redis, "EXISTS", key);
        const bool yes = reply->integer == 1;

        freeReplyObject(reply);
        return yes;
}
#define R_KEY "task_timeouts"
#define E_KEY "task_extended_timeouts"

static const LockTask one_task[] = {
        { .task = "one", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
};

#define HOUR (3600 * USEC_PER_SEC)
static const LockTask long_task[] = {
        { .task = "one", .interval_usec = HOUR, .extended_ttl_usec = 2 * HOUR },
};

/* Both want every task all the time; each task has an owner at most. */
Test(coordinator, two_never_hold_the_same_task) {
        static const LockTask tasks[] = {
                { .task = "a",
                  .interval_usec = 2000,
                  .extended_ttl_usec = 5 * USEC_PER_SEC,
                  .original_extended = true },
                { .task = "b",
                  .interval_usec = 3000,
                  .extended_ttl_usec = 5 * USEC_PER_SEC,
                  .original_extended = true },
        };
        enum { N_TASKS = ELEMENTSOF(tasks), ROUNDS = 300 };
        _cleanup_fixture_ Fixture f;
        Coordinator *c[2];
        CancelToken *token = NULL;
        int owner[N_TASKS] = { -1, -1 }, taken[2] = { 0 }, refused[N_TASKS] = { 0 };
        unsigned ends = 0;

        fixture_init(&f);
        cr_assert_eq(cancel_token_new(&token), 0);
        c[0] = start(&f, "first", tasks, N_TASKS, NULL);
        c[1] = start(&f, "second", tasks, N_TASKS, NULL);
        for (int i = 0; i < 2; i++)
                for (size_t t = 0; t < N_TASKS; t++)
                        coordinator_take(c[i], t, "run", 0, token);
        for (const uint64_t until = clock_monotonic_usec() + WAIT_USEC; ends < ROUNDS;) {
                struct pollfd p[2] = { { .fd = coordinator_fd(c[0]), .events = POLLIN },
                                       { .fd = coordinator_fd(c[1]), .events = POLLIN } };
                CoordinatorEvent e;

                cr_assert_lt(clock_monotonic_usec(), until, "only %u rounds", ends);
                (void) poll(p, 2, 1000);
                for (int i = 0; i < 2; i++)
                        while (coordinator_next(c[i], &e)) {
                                if (e.type == COORDINATOR_TAKEN) {
                                        cr_assert_eq(owner[e.task], -1, "task %zu is held twice", e.task);
                                        cr_assert(coordinator_may_commit(c[i], e.task));
                                        owner[e.task] = i;
                                        taken[i]++;
                                } else if (e.type == COORDINATOR_ENDED || e.type == COORDINATOR_NOT_TAKEN) {
                                        ends += e.type == COORDINATOR_ENDED;
                                        refused[e.task] += e.type == COORDINATOR_NOT_TAKEN && owner[e.task] >= 0;
                                        coordinator_take(c[i], e.task, "run", 0, token);
                                } else
                                        cr_assert_neq(e.type, COORDINATOR_CANCEL, "%s", e.text);
                                coordinator_event_done(&e);
                        }
                /* A run ends after the other one was refused while it lasted, now and then at once: what the other one
                 * wants meanwhile is answered before its end is even in the queue. */
                for (size_t t = 0; t < N_TASKS; t++) {
                        const int i = owner[t];

                        if (i < 0 || (refused[t] == 0 && taken[i] % 4 != 0))
                                continue;
                        owner[t] = -1;
                        refused[t] = 0;
                        coordinator_end(c[i], t, "ok");
                        cr_assert_not(coordinator_may_commit(c[i], t));
                }
        }
        (void) coordinator_free(c[0], USEC_PER_SEC);
        (void) coordinator_free(c[1], USEC_PER_SEC);
        cr_assert_eq(cancel_token_check(token), 0);
        cr_assert_gt(taken[0], 0);
        cr_assert_gt(taken[1], 0);
        (void) cancel_token_free(token);
        for (size_t t = 0; t < N_TASKS; t++)
                cr_assert_not(exists(&f, tasks[t].task, E_KEY));
}

Test(coordinator, free_gives_back_what_is_held) {
        _cleanup_fixture_ Fixture f;
        Coordinator *c;

        fixture_init(&f);
        c = start(&f, "me", one_task, 1, NULL);
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        cr_assert(exists(&f, "one", R_KEY) && exists(&f, "one", E_KEY));
        (void) coordinator_free(c, 5 * USEC_PER_SEC);
        cr_assert_not(exists(&f, "one", R_KEY));
        cr_assert_not(exists(&f, "one", E_KEY));
}

Test(coordinator, end_keeps_the_period) {
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init(&f);
        c = start(&f, "me", one_task, 1, NULL);
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        coordinator_end(c, 0, "ok");
        e = wait_event(c, COORDINATOR_ENDED);
        cr_assert(e.wait_usec > 0 && e.wait_usec <= one_task[0].interval_usec);
        coordinator_take(c, 0, "again", 0, NULL);
        e = wait_event(c, COORDINATOR_NOT_TAKEN);
        cr_assert_eq(e.outcome, LOCK_HELD_R);
        cr_assert_not_null(e.text);
        coordinator_event_done(&e);
        coordinator_take(c, 0, "forced", LOCK_IGNORE_R, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        (void) coordinator_free(c, 5 * USEC_PER_SEC);
}

/* The keys of this test's service go, as FLUSHALL would take them, without those of tests that run beside it. */
static void flush(Fixture *f) {
        static const char script[] = "local keys = redis.call('KEYS', ARGV[1]) "
                                     "for _, k in ipairs(keys) do redis.call('DEL', k) end return #keys";
        _cleanup_free_ char *pattern = text("%s.%s", f->service, "*");
        redisReply *reply = RUN(f->redis, "EVAL", script, "0", pattern);

        cr_assert_gt(reply->integer, 0);
        freeReplyObject(reply);
}

Test(coordinator, a_flush_is_mended_and_makes_others_wait) {
        static const LockTask tasks[] = {
                { .task = "one",
                  .interval_usec = 600 * USEC_PER_MSEC,
                  .extended_ttl_usec = 30 * USEC_PER_SEC,
                  .original_extended = true },
                { .task = "two", .interval_usec = USEC_PER_SEC, .extended_ttl_usec = 30 * USEC_PER_SEC },
        };
        _cleanup_fixture_ Fixture f;
        CancelToken *token = NULL;
        CoordinatorEvent e;
        Coordinator *c, *other;

        fixture_init(&f);
        cr_assert_eq(cancel_token_new(&token), 0);
        c = start(&f, "me", tasks, 2, NULL);
        other = start(&f, "other", tasks, 2, NULL);
        coordinator_take(c, 0, "run", 0, token);
        expect_event(c, COORDINATOR_TAKEN);
        flush(&f);
        coordinator_take(other, 1, "run", 0, NULL);
        e = wait_event(other, COORDINATOR_NOT_TAKEN);
        cr_assert_eq(e.outcome, LOCK_WAIT_EPOCH);
        cr_assert(e.wait_usec > 0 && e.wait_usec <= 6 * USEC_PER_SEC);
        coordinator_event_done(&e);
        for (const uint64_t until = clock_monotonic_usec() + WAIT_USEC; !exists(&f, "one", E_KEY);) {
                cr_assert_lt(clock_monotonic_usec(), until);
                (void) poll(NULL, 0, 10);
        }
        cr_assert(exists(&f, "one", R_KEY));
        cr_assert_eq(cancel_token_check(token), 0);
        cr_assert(coordinator_may_commit(c, 0));
        (void) coordinator_free(other, USEC_PER_SEC);
        (void) coordinator_free(c, USEC_PER_SEC);
        (void) cancel_token_free(token);
}

Test(coordinator, a_dead_predecessor_costs_no_interval) {
        const LockIdentity dead = { .host = "unit", .worker = "test", .instance = "dead" };
        LockIdentity identity = dead;
        _cleanup_(lock_take_result_done) LockTakeResult result = { 0 };
        _cleanup_error_ Error error = ERROR_INIT;
        _cleanup_fixture_ Fixture f;
        char uuid[UUID_TEXT_SIZE];
        Coordinator *c;

        fixture_init(&f);
        identity.service = f.service;
        cr_assert_eq(lock_take(f.redis, &identity, one_task, random_uuid(uuid), "run", 0, NULL, &result, &error), 0,
                     "%s", error_text(&error));
        cr_assert_eq(result.outcome, LOCK_TAKEN);
        c = start(&f, "new", one_task, 1, "dead");
        /* E alone is in the way of a forced run */
        coordinator_take(c, 0, "run", LOCK_IGNORE_R, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        (void) coordinator_free(c, 5 * USEC_PER_SEC);
}

Test(coordinator, a_foreign_lock_cancels_the_run) {
        static const LockTask tasks[] = {
                { .task = "one",
                  .interval_usec = 300 * USEC_PER_MSEC,
                  .extended_ttl_usec = 30 * USEC_PER_SEC,
                  .original_extended = true },
        };
        _cleanup_free_ char *key = NULL;
        _cleanup_fixture_ Fixture f;
        CancelToken *token = NULL;
        Coordinator *c;

        fixture_init(&f);
        cr_assert_eq(cancel_token_new(&token), 0);
        c = start(&f, "me", tasks, 1, NULL);
        coordinator_take(c, 0, "run", 0, token);
        expect_event(c, COORDINATOR_TAKEN);
        key = text("%s.loops.one.%s", f.service, E_KEY);
        freeReplyObject(RUN(f.redis, "SET", key, "TIMEOUT NOT EXPIRED somebody", "PX", "60000"));
        expect_event(c, COORDINATOR_CANCEL);
        cr_assert_eq(cancel_token_reason(token), CANCEL_LOCK);
        cr_assert_not(coordinator_may_commit(c, 0));
        coordinator_end(c, 0, "cancelled");
        expect_event(c, COORDINATOR_ENDED);
        cr_assert(exists(&f, "one", E_KEY), "the other one's lock was deleted");
        (void) coordinator_free(c, USEC_PER_SEC);
        (void) cancel_token_free(token);
}

/* The R that was there before is what a forced run goes past, at its start and at each renewal. */
Test(coordinator, a_forced_run_goes_on_past_a_foreign_r) {
        static const LockTask tasks[] = {
                { .task = "one", .interval_usec = 300 * USEC_PER_MSEC, .extended_ttl_usec = 900 * USEC_PER_MSEC },
        };
        _cleanup_free_ char *r_key = NULL;
        uint64_t end = clock_monotonic_usec() + 2 * USEC_PER_SEC;
        _cleanup_fixture_ Fixture f;
        CancelToken *token = NULL;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init(&f);
        cr_assert_eq(cancel_token_new(&token), 0);
        r_key = text("%s.loops.one.%s", f.service, R_KEY);
        freeReplyObject(RUN(f.redis, "SET", r_key, "TIMEOUT NOT EXPIRED", "PX", "60000"));
        c = start(&f, "me", tasks, 1, NULL);
        coordinator_take(c, 0, "run", LOCK_IGNORE_R, token);
        expect_event(c, COORDINATOR_TAKEN);
        /* twice as long as E would live without renewals, of which there are about twenty */
        cr_assert_eq(cancel_token_poll(token, -1, 0, end - clock_monotonic_usec()), 0);
        cr_assert(exists(&f, "one", E_KEY));
        cr_assert(coordinator_may_commit(c, 0));
        cr_assert_not(coordinator_next(c, &e) && e.type == COORDINATOR_CANCEL);
        coordinator_end(c, 0, "ok");
        expect_event(c, COORDINATOR_ENDED);
        cr_assert(exists(&f, "one", R_KEY), "the other one's interval was cut short");
        /* another R is an original that has begun meanwhile */
        coordinator_take(c, 0, "run", LOCK_IGNORE_R, token);
        expect_event(c, COORDINATOR_TAKEN);
        freeReplyObject(RUN(f.redis, "SET", r_key, "TIMEOUT NOT EXPIRED", "PX", "50000"));
        expect_event(c, COORDINATOR_CANCEL);
        cr_assert_eq(cancel_token_reason(token), CANCEL_LOCK);
        (void) coordinator_free(c, USEC_PER_SEC);
        (void) cancel_token_free(token);
}

Test(coordinator, a_frozen_server_cancels_in_time) {
        static const LockTask tasks[] = {
                { .task = "one", .interval_usec = 900 * USEC_PER_MSEC, .extended_ttl_usec = 30 * USEC_PER_SEC },
        };
        _cleanup_fixture_ Fixture f;
        CancelToken *token = NULL;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init_own(&f);
        cr_assert_eq(cancel_token_new(&token), 0);
        c = start(&f, "me", tasks, 1, NULL);
        expect_event(c, COORDINATOR_REDIS_STATE);
        coordinator_take(c, 0, "run", 0, token);
        expect_event(c, COORDINATOR_TAKEN);
        cr_assert(coordinator_may_commit(c, 0));
        freeze(&f);
        /* the command time-out is 2 s: only an exchange that ends for the lock's sake lets it be in time */
        cr_assert(cancel_token_poll(token, -1, 0, 1900 * USEC_PER_MSEC) == -ECANCELED);
        cr_assert_eq(cancel_token_reason(token), CANCEL_LOCK);
        cr_assert_not(coordinator_may_commit(c, 0));
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert_not_null(e.text);
        coordinator_event_done(&e);
        coordinator_end(c, 0, "cancelled");
        expect_event(c, COORDINATOR_ENDED);
        cr_assert_not(coordinator_may_commit(c, 0));
        thaw(&f);
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert_null(e.text);
        /* what could not be released then is released now, and a take comes after it */
        coordinator_take(c, 0, "again", LOCK_IGNORE_R, token);
        expect_event(c, COORDINATOR_TAKEN);
        cr_assert(coordinator_may_commit(c, 0));
        (void) coordinator_free(c, 5 * USEC_PER_SEC);
        cr_assert_not(exists(&f, "one", E_KEY));
        (void) cancel_token_free(token);
}

Test(coordinator, a_take_without_an_answer_is_undone) {
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init_own(&f);
        c = start(&f, "me", one_task, 1, NULL);
        /* the connection is there and the script known: the take itself will be without an answer */
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        coordinator_end(c, 0, "abandoned");
        expect_event(c, COORDINATOR_ENDED);
        freeze(&f);
        coordinator_take(c, 0, "run", 0, NULL);
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert_not_null(e.text);
        coordinator_event_done(&e);
        coordinator_abandon(c, 0);
        expect_event(c, COORDINATOR_NOT_TAKEN);
        thaw(&f);
        expect_event(c, COORDINATOR_REDIS_STATE);
        for (const uint64_t until = clock_monotonic_usec() + WAIT_USEC; exists(&f, "one", E_KEY);) {
                cr_assert_lt(clock_monotonic_usec(), until);
                (void) poll(NULL, 0, 10);
        }
        cr_assert_not(exists(&f, "one", R_KEY));
        (void) coordinator_free(c, USEC_PER_SEC);
}

/* It comes back empty, as after a crash without a snapshot. */
Test(coordinator, a_restart_of_the_server_costs_no_run) {
        static const LockTask tasks[] = {
                { .task = "one",
                  .interval_usec = 30 * USEC_PER_SEC,
                  .extended_ttl_usec = 60 * USEC_PER_SEC,
                  .original_extended = true },
                { .task = "two", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
        };
        _cleanup_fixture_ Fixture f;
        CancelToken *token = NULL;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init_own(&f);
        cr_assert_eq(cancel_token_new(&token), 0);
        c = start(&f, "me", tasks, 2, NULL);
        coordinator_take(c, 0, "run", 0, token);
        expect_event(c, COORDINATOR_TAKEN);
        server_kill(&f);
        coordinator_take(c, 1, "run", 0, NULL);
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert_not_null(e.text);
        coordinator_event_done(&e);
        cr_assert(coordinator_may_commit(c, 0), "the lock is confirmed for longer than that");
        server_start(&f);
        e = wait_event(c, COORDINATOR_NOT_TAKEN);
        cr_assert_eq(e.task, 1);
        cr_assert_eq(e.outcome, LOCK_WAIT_EPOCH);
        coordinator_event_done(&e);
        for (const uint64_t until = clock_monotonic_usec() + WAIT_USEC; !exists(&f, "one", E_KEY);) {
                cr_assert_lt(clock_monotonic_usec(), until);
                (void) poll(NULL, 0, 10);
        }
        cr_assert_eq(cancel_token_check(token), 0);
        cr_assert(coordinator_may_commit(c, 0));
        (void) coordinator_free(c, USEC_PER_SEC);
        (void) cancel_token_free(token);
}

/* Were it to wait for the answer, or for the time-out of the exchange, the test would not end. */
Test(coordinator, free_does_not_wait_for_a_frozen_server) {
        _cleanup_fixture_ Fixture f;
        Coordinator *c;

        fixture_init_own(&f);
        c = start_patient(&f, "me", long_task, 1, NULL, 2 * HOUR);
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        freeze(&f);
        (void) coordinator_fleet(c); /* this is under way */
        (void) coordinator_free(c, 200 * USEC_PER_MSEC);
        thaw(&f);
}

/* Likewise for what no patience helps to deliver. */
Test(coordinator, free_leaves_what_a_broken_key_keeps) {
        static const LockTask tasks[] = {
                { .task = "one", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
                { .task = "two", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
        };
        _cleanup_free_ char *key = NULL;
        _cleanup_fixture_ Fixture f;
        Coordinator *c;

        fixture_init(&f);
        key = text("%s.control.one.run%s", f.service, "");
        c = start(&f, "me", tasks, 2, NULL);
        for (size_t i = 0; i < 2; i++)
                coordinator_take(c, i, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        expect_event(c, COORDINATOR_TAKEN);
        freeReplyObject(RUN(f.redis, "SET", key, "not a hash"));
        (void) coordinator_free(c, HOUR);
        cr_assert_not(exists(&f, "one", E_KEY), "E goes first");
        cr_assert_not(exists(&f, "two", R_KEY) || exists(&f, "two", E_KEY));
        freeReplyObject(RUN(f.redis, "DEL", key));
}

/* A refusal is an answer at once, whatever is left to be undone, and each time it is asked. */
Test(coordinator, a_broken_key_is_a_refusal) {
        _cleanup_free_ char *key = NULL;
        _cleanup_fixture_ Fixture f;
        Coordinator *c;

        fixture_init(&f);
        key = text("%s.control.one.run%s", f.service, "");
        freeReplyObject(RUN(f.redis, "SET", key, "not a hash"));
        c = start(&f, "me", one_task, 1, NULL);
        for (int i = 0; i < 3; i++) {
                CoordinatorEvent e;

                coordinator_take(c, 0, "run", 0, NULL);
                e = wait_event(c, COORDINATOR_NOT_TAKEN);
                cr_assert_eq(e.outcome, LOCK_BROKEN);
                cr_assert(e.by_hand && e.text && strstr(e.text, key) && e.wait_usec > 0, "%s", e.text);
                coordinator_event_done(&e);
        }
        freeReplyObject(RUN(f.redis, "DEL", key));
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        (void) coordinator_free(c, USEC_PER_SEC);
}

Test(coordinator, a_take_waits_for_a_server_that_is_away) {
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init(&f);
        f.url = "unix:///nonexistent/redis.sock";
        c = start(&f, "me", one_task, 1, NULL);
        coordinator_take(c, 0, "run", 0, NULL);
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert_not_null(e.text);
        coordinator_event_done(&e);
        for (unsigned attempts = 0; attempts < 3; attempts++)
                for ((void) coordinator_fleet(c);; coordinator_event_done(&e)) {
                        e = wait_any_event(c);
                        cr_assert_neq(e.type, COORDINATOR_REDIS_STATE, "one event per change");
                        if (e.type == COORDINATOR_DONE) {
                                coordinator_event_done(&e);
                                break;
                        }
                }
        coordinator_abandon(c, 0);
        e = wait_event(c, COORDINATOR_NOT_TAKEN);
        cr_assert_null(e.text);
        cr_assert_eq(coordinator_fleet(c), 4);
        e = wait_event(c, COORDINATOR_DONE);
        cr_assert_not_null(e.text);
        cr_assert_null(e.document);
        coordinator_event_done(&e);
        (void) coordinator_free(c, USEC_PER_SEC);
}

Test(coordinator, pause_and_resume) {
        static const LockTask tasks[] = {
                { .task = "one", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
                { .task = "two", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
        };
        const size_t second = 1;
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c, *other;
        uint64_t serial;

        fixture_init(&f);
        c = start(&f, "me", tasks, 2, NULL);
        other = start(&f, "other", tasks, 2, NULL);
        serial = coordinator_pause(c, &second, 1, "ann", "maintenance", 0);
        e = wait_event(c, COORDINATOR_DONE);
        cr_assert(e.serial == serial && !e.text);
        e = wait_event(other, COORDINATOR_PAUSED);
        cr_assert_eq(e.task, 1);
        cr_assert_str_eq(e.text, "by ann on unit: maintenance");
        coordinator_event_done(&e);
        cr_assert(exists(&f, "two", R_KEY), "originals see R");
        cr_assert_not(exists(&f, "one", R_KEY));
        coordinator_take(other, 1, "run", 0, NULL);
        e = wait_event(other, COORDINATOR_NOT_TAKEN);
        cr_assert_eq(e.outcome, LOCK_PAUSED);
        coordinator_event_done(&e);
        serial = coordinator_fleet(other);
        e = wait_event(other, COORDINATOR_DONE);
        cr_assert_eq(e.serial, serial);
        cr_assert_str_eq(json_string_value(
                                 json_object_get(json_object_get(json_object_get(e.document, "two"), "paused"), "who")),
                         "ann");
        coordinator_event_done(&e);
        (void) coordinator_resume(c, &second, 1, "ann");
        expect_event(other, COORDINATOR_RESUMED);
        coordinator_take(other, 1, "run", 0, NULL);
        expect_event(other, COORDINATOR_TAKEN);
        (void) coordinator_free(c, USEC_PER_SEC);
        (void) coordinator_free(other, USEC_PER_SEC);
}

/* The pause is over before a look-up sees it; who was refused for it must hear so. */
Test(coordinator, a_short_pause_is_told_to_be_over) {
        const LockIdentity host = { .host = "unit", .worker = "test", .instance = "other" };
        LockIdentity identity = host;
        _cleanup_error_ Error error = ERROR_INIT;
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init(&f);
        identity.service = f.service;
        c = start(&f, "me", one_task, 1, NULL);
        /* DONE comes after the first look-up or before it: the next one is 3 s away or sees the pause */
        (void) coordinator_fleet(c);
        expect_event(c, COORDINATOR_DONE);
        cr_assert_eq(lock_pause(f.redis, &identity, one_task, "ann", "short", 0, NULL, &error), 0);
        coordinator_take(c, 0, "run", 0, NULL);
        e = wait_event(c, COORDINATOR_NOT_TAKEN);
        cr_assert_eq(e.outcome, LOCK_PAUSED);
        coordinator_event_done(&e);
        cr_assert_eq(lock_resume(f.redis, &identity, one_task, NULL, NULL, &error), 0);
        expect_event(c, COORDINATOR_RESUMED);
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        (void) coordinator_free(c, USEC_PER_SEC);
}
