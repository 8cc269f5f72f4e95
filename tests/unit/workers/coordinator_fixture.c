/* See coordinator_fixture.h. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/workers/coordinator_fixture.h"

const LockTask one_task[] = {
        { .task = "one", .interval_usec = 30 * USEC_PER_SEC, .extended_ttl_usec = 60 * USEC_PER_SEC },
};

const LockTask long_task[] = {
        { .task = "one", .interval_usec = HOUR, .extended_ttl_usec = 2 * HOUR },
};

char *text(const char *format, const char *a, const char *b) {
        char *s = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        cr_assert_not_null(s = str_printf(format, a, b));
#pragma GCC diagnostic pop
        return s;
}

redisReply *run(RedisConn *c, size_t argc, const char *const *argv) {
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;

        cr_assert_eq(redis_command(c, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        return reply;
}

static void set_epoch(Fixture *f) {
        _cleanup_free_ char *key = text("%s.control.epoch%s", f->service, "");

        freeReplyObject(RUN(f->redis, "SET", key, "1"));
}

void fixture_init(Fixture *f) {
        _cleanup_error_ Error e = ERROR_INIT;
        char uuid[UUID_TEXT_SIZE];

        *f = (Fixture){ .url = getenv("ROUNDTABLE_TEST_REDIS_URL") };
        if (!f->url)
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        (void) snprintf(f->service, sizeof(f->service), "unit-%s", random_uuid(uuid));
        cr_assert_eq(redis_conn_new(f->url, "unit test", 0, NULL, NULL, &f->redis, &e), 0, "%s", error_text(&e));
        set_epoch(f);
}

void fixture_done(Fixture *f) {
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

void server_start(Fixture *f) {
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

void server_kill(Fixture *f) {
        (void) kill(f->server, SIGKILL);
        cr_assert_eq(waitpid(f->server, NULL, 0), f->server);
        f->server = 0;
}

void fixture_init_own(Fixture *f) {
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

void freeze(Fixture *f) {
        int status;

        cr_assert_eq(kill(f->server, SIGSTOP), 0);
        cr_assert_eq(waitpid(f->server, &status, WUNTRACED), f->server);
        cr_assert(WIFSTOPPED(status));
}

void thaw(Fixture *f) {
        cr_assert_eq(kill(f->server, SIGCONT), 0);
}

Coordinator *start_patient(const Fixture *f, const char *instance, const LockTask *tasks, size_t n, const char *dead,
                           uint64_t command_timeout_usec) {
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

Coordinator *start(const Fixture *f, const char *instance, const LockTask *tasks, size_t n, const char *dead) {
        return start_patient(f, instance, tasks, n, dead, 0);
}

void leave_lock_of_the_dead(Fixture *f) {
        const LockIdentity dead = { .service = f->service, .host = "unit", .worker = "test", .instance = "dead" };
        _cleanup_(lock_take_result_done) LockTakeResult result = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        char uuid[UUID_TEXT_SIZE];

        cr_assert_eq(lock_take(f->redis, &dead, one_task, random_uuid(uuid), "run", 0, NULL, &result, &e), 0, "%s",
                     error_text(&e));
        cr_assert_eq(result.outcome, LOCK_TAKEN);
}

bool wait_event_for(Coordinator *c, CoordinatorEventType type, uint64_t usec, CoordinatorEvent *ret) {
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

CoordinatorEvent wait_event(Coordinator *c, CoordinatorEventType type) {
        CoordinatorEvent e = { 0 };

        cr_assert(wait_event_for(c, type, WAIT_USEC, &e), "no event of type %d came", (int) type);
        return e;
}

CoordinatorEvent wait_any_event(Coordinator *c) {
        const uint64_t until = clock_monotonic_usec() + WAIT_USEC;
        CoordinatorEvent e;

        while (!coordinator_next(c, &e)) {
                cr_assert_lt(clock_monotonic_usec(), until, "no event came");
                (void) poll(&(struct pollfd){ .fd = coordinator_fd(c), .events = POLLIN }, 1, 1000);
        }
        return e;
}

void expect_event(Coordinator *c, CoordinatorEventType type) {
        CoordinatorEvent e = wait_event(c, type);

        coordinator_event_done(&e);
}

bool exists(Fixture *f, const char *task, const char *suffix) {
        _cleanup_free_ char *name = text("%s.loops.%s", f->service, task), *key = text("%s.%s", name, suffix);
        redisReply *reply = RUN(f->redis, "EXISTS", key);
        const bool yes = reply->integer == 1;

        freeReplyObject(reply);
        return yes;
}
