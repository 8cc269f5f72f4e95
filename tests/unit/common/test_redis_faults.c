/* The Redis client when its server refuses, freezes, dies or forgets: each test has a server of its own. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/redis.h"

static char directory[] = "/tmp/rt-redis-XXXXXX";
static char url[128];
static pid_t server;

static int command(RedisConn *c, CancelToken *token, Error *e, const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        const char *argv[8];
        size_t argc = 0;
        char *rest = NULL;

        for (char *word = strtok_r(copy, " ", &rest); word && argc < ELEMENTSOF(argv);
             word = strtok_r(NULL, " ", &rest))
                argv[argc++] = word;
        return redis_command(c, "test", token, NULL, e, argc, argv, NULL);
}

static RedisConn *connect_to(const char *with, uint64_t timeout_usec) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *full = str_printf("%s%s", url, with);
        RedisConn *c = NULL;

        cr_assert_eq(redis_conn_new(full, "unit test", timeout_usec, NULL, NULL, &c, &e), 0, "%s", error_text(&e));
        return c;
}

static void expect_ok(RedisConn *c, const char *text) {
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(command(c, NULL, &e, text), 0, "%s: %s", text, error_text(&e));
}

static void server_exec(void) {
        int fd = open("server.log", O_WRONLY | O_CREAT | O_APPEND, 0644);

        (void) dup2(fd, STDOUT_FILENO);
        (void) dup2(fd, STDERR_FILENO);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
                      "--requirepass", "sesame", NULL);
        _exit(127);
}

static void server_start(void) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);
        const uint64_t until = clock_monotonic_usec() + 30 * USEC_PER_SEC;

        server = fork();
        cr_assert_geq(server, 0);
        if (server == 0) {
                if (chdir(directory) < 0)
                        _exit(126);
                server_exec();
        }
        for (;;) {
                _cleanup_error_ Error e = ERROR_INIT;

                if (command(c, NULL, &e, "PING") == 0)
                        return;
                cr_assert_lt(clock_monotonic_usec(), until, "redis-server did not start: %s", error_text(&e));
                (void) cancel_token_poll(NULL, -1, 0, 10 * USEC_PER_MSEC);
        }
}

static void server_kill(void) {
        if (server <= 0)
                return;
        (void) kill(server, SIGKILL);
        (void) waitpid(server, NULL, 0);
        server = 0;
}

/* Returns when it really stands still. */
static void server_freeze(void) {
        int status;

        cr_assert_eq(kill(server, SIGSTOP), 0);
        cr_assert_eq(waitpid(server, &status, WUNTRACED), server);
        cr_assert(WIFSTOPPED(status));
}

static void setup(void) {
        if (access("/usr/bin/redis-server", X_OK) < 0)
                cr_skip_test("requires redis: redis-server is not installed");
        cr_assert_not_null(mkdtemp(directory));
        (void) snprintf(url, sizeof(url), "unix://%s/redis.sock", directory);
        server_start();
}

static void teardown(void) {
        _cleanup_free_ char *socket = str_printf("%s/redis.sock", directory);
        _cleanup_free_ char *log = str_printf("%s/server.log", directory);

        server_kill();
        (void) unlink(socket);
        (void) unlink(log);
        (void) rmdir(directory);
}

TestSuite(redis_faults, .init = setup, .fini = teardown);

Test(redis_faults, passwords) {
        _cleanup_(redis_conn_freep) RedisConn *right = connect_to("?password=sesame", 0);
        _cleanup_(redis_conn_freep) RedisConn *wrong = connect_to("?password=open", 0);
        _cleanup_(redis_conn_freep) RedisConn *none = connect_to("", 0);
        _cleanup_error_ Error e = ERROR_INIT;

        expect_ok(right, "PING");
        cr_assert_eq(command(wrong, NULL, &e, "PING"), -EACCES);
        cr_assert_eq(e.kind, ERROR_NEVER);
        cr_assert_not_null(e.hint);
        cr_assert_null(strstr(error_text(&e), "open"), "the password is in: %s", error_text(&e));
        cr_assert_eq(command(none, NULL, &e, "PING"), -EACCES);
        cr_assert_eq(e.kind, ERROR_NEVER);
        cr_assert_not_null(e.hint);
}

Test(redis_faults, the_database_is_selected_after_every_connect) {
        _cleanup_(redis_conn_freep) RedisConn *third = connect_to("?db=3&password=sesame", 0);
        _cleanup_(redis_conn_freep) RedisConn *zero = connect_to("?password=sesame", 0);
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;

        expect_ok(third, "SET k 3");
        expect_ok(zero, "SET k 0");
        redis_conn_reset(third);
        cr_assert_eq(redis_command(third, "get", NULL, &reply, &e, 2, (const char *const[]){ "GET", "k" }, NULL), 0);
        cr_assert_str_eq(reply->str, "3");
        freeReplyObject(reply);
}

Test(redis_faults, frozen_server_and_a_deadline) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);
        _cleanup_cancel_token_ CancelToken *token = NULL;
        _cleanup_error_ Error e = ERROR_INIT;

        expect_ok(c, "PING");
        cr_assert_eq(cancel_token_new(&token), 0);
        cancel_token_set_deadline(token, clock_monotonic_usec() + 30 * USEC_PER_MSEC);
        server_freeze();
        cr_assert_eq(command(c, token, &e, "INCR n"), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_CANCELED);
        cr_assert(strstr(error_text(&e), "may have been executed"), "%s", error_text(&e));
        cr_assert_eq(kill(server, SIGCONT), 0);
        /* the late reply to INCR is not taken for the one to PING */
        expect_ok(c, "PING");
}

Test(redis_faults, frozen_server_and_the_command_timeout) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 50 * USEC_PER_MSEC);
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;

        expect_ok(c, "PING");
        server_freeze();
        cr_assert_eq(command(c, NULL, &e, "ECHO late"), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_UNCERTAIN);
        /* a new connection is accepted by the kernel, but the server says nothing: nothing of ours was sent */
        cr_assert_eq(command(c, NULL, &e, "ECHO never"), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_RETRY);
        cr_assert_eq(kill(server, SIGCONT), 0);
        redis_conn_free(TAKE_PTR(c));
        c = connect_to("?password=sesame", 0);
        cr_assert_eq(redis_command(c, "echo", NULL, &reply, &e, 2, (const char *const[]){ "ECHO", "fresh" }, NULL), 0);
        cr_assert_str_eq(reply->str, "fresh");
        freeReplyObject(reply);
}

static void *cancel_thread(void *userdata) {
        cancel_token_cancel(userdata, CANCEL_REQUEST);
        return NULL;
}

Test(redis_faults, cancelled_by_another_thread_while_it_is_frozen) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);
        _cleanup_cancel_token_ CancelToken *token = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        pthread_t thread;

        cr_assert_eq(cancel_token_new(&token), 0);
        server_freeze();
        cr_assert_eq(pthread_create(&thread, NULL, cancel_thread, token), 0);
        cr_assert_eq(command(c, token, &e, "PING"), -ECANCELED);
        cr_assert_eq(e.kind, ERROR_CANCELED);
        cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void *kill_thread(void *userdata _unused_) {
        /* once the waiting command has arrived */
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);

        for (bool blocked = false; !blocked;) {
                const char *const argv[] = { "INFO", "clients" };
                _cleanup_error_ Error e = ERROR_INIT;
                redisReply *reply = NULL;

                if (redis_command(c, "info", NULL, &reply, &e, 2, argv, NULL) < 0)
                        break;
                blocked = strstr(reply->str, "blocked_clients:1") != NULL;
                freeReplyObject(reply);
        }
        server_kill();
        return NULL;
}

Test(redis_faults, killed_in_mid_command_and_started_again) {
        static const RedisScript script = { "unit.one", "return redis.call('INCR', KEYS[1])" };
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        pthread_t thread;

        cr_assert_eq(redis_pipeline_new(&p), 0);
        cr_assert_eq(redis_pipeline_addv(p, "SET", "before", "1", NULL), 0);
        cr_assert_eq(redis_pipeline_add_script(p, &script, 1, (const char *const[]){ "n" }, 0, NULL), 0);
        cr_assert_eq(redis_pipeline_addv(p, "GET", "n", NULL), 0);
        cr_assert_eq(redis_execute(c, "script", p, NULL, &e), 0, "%s", error_text(&e));
        cr_assert_eq(pthread_create(&thread, NULL, kill_thread, NULL), 0);
        cr_assert_lt(command(c, NULL, &e, "BLPOP never 0"), 0);
        cr_assert_eq(e.kind, ERROR_UNCERTAIN, "%s", error_text(&e));
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_lt(command(c, NULL, &e, "PING"), 0);
        cr_assert_eq(e.kind, ERROR_RETRY, "%s", error_text(&e));
        server_start();
        /* it forgot the script: that command alone is sent once more */
        cr_assert_eq(redis_execute(c, "script", p, NULL, &e), 0, "%s", error_text(&e));
        cr_assert_eq(redis_pipeline_reply(p, 1)->integer, 1);
        cr_assert_eq(redis_pipeline_reply(p, 0)->type, REDIS_REPLY_STATUS);
}

static void expect_refusal(RedisConn *c, const char *code) {
        static const RedisScript script = { "unit.set", "return redis.call('SET', KEYS[1], 'x')" };
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_lt(command(c, NULL, &e, "SET k v"), 0);
        cr_assert_eq(e.kind, ERROR_RETRY, "%s", error_text(&e));
        cr_assert(strstr(error_text(&e), code), "%s", error_text(&e));
        cr_assert_not_null(e.hint);
        cr_assert_eq(redis_pipeline_new(&p), 0);
        cr_assert_eq(redis_pipeline_add_script(p, &script, 1, (const char *const[]){ "k" }, 0, NULL), 0);
        cr_assert_eq(redis_execute(c, "set", p, NULL, &e), 0, "%s", error_text(&e));
        cr_assert_lt(redis_reply_check(redis_pipeline_reply(p, 0), REDIS_REPLY_STATUS, "set", &e), 0);
        cr_assert_eq(e.kind, ERROR_RETRY, "%s", error_text(&e));
        cr_assert_not_null(e.hint);
}

Test(redis_faults, out_of_memory_may_pass) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);

        expect_ok(c, "CONFIG SET maxmemory 1");
        expect_refusal(c, "OOM");
        expect_ok(c, "CONFIG SET maxmemory 0");
        expect_ok(c, "SET k v");
}

/* The server may reset the connection before its refusal is read: that may pass, too. */
Test(redis_faults, a_server_with_all_the_clients_it_takes_may_have_room_later) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);
        _cleanup_(redis_conn_freep) RedisConn *late = connect_to("?password=sesame", 0);
        _cleanup_error_ Error e = ERROR_INIT;

        expect_ok(c, "CONFIG SET maxclients 1");
        cr_assert_lt(command(late, NULL, &e, "PING"), 0);
        cr_assert_eq(e.kind, ERROR_RETRY, "%s", error_text(&e));
        expect_ok(c, "CONFIG SET maxclients 100");
        expect_ok(late, "PING");
}

Test(redis_faults, a_replica_says_so) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);

        expect_ok(c, "REPLICAOF 127.0.0.1 1");
        expect_refusal(c, "READONLY");
        expect_ok(c, "REPLICAOF NO ONE");
        expect_ok(c, "SET k v");
}

Test(redis_faults, no_room_for_another_client_may_pass) {
        _cleanup_(redis_conn_freep) RedisConn *first = connect_to("?password=sesame", 0);
        _cleanup_(redis_conn_freep) RedisConn *second = connect_to("?password=sesame", 0);
        _cleanup_error_ Error e = ERROR_INIT;

        expect_ok(first, "CONFIG SET maxclients 1");
        cr_assert_eq(command(second, NULL, &e, "SET k v"), -EAGAIN, "%s", error_text(&e));
        cr_assert_eq(e.kind, ERROR_RETRY, "%s", error_text(&e));
        cr_assert(strstr(error_text(&e), "max number of clients"), "%s", error_text(&e));
        cr_assert(e.hint && strstr(e.hint, "maxclients"), "%s", e.hint);
        expect_ok(first, "CONFIG SET maxclients 100");
        expect_ok(second, "SET k v");
}

Test(redis_faults, a_database_that_is_not_there) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?db=99&password=sesame", 0);
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(command(c, NULL, &e, "PING"), -ENOENT, "%s", error_text(&e));
        cr_assert_eq(e.kind, ERROR_NEVER);
        cr_assert_not_null(e.hint);
}

/* Answers one connection with `userdata`, whatever it is asked. */
static int refusing_socket;
static void *refuse_thread(void *userdata) {
        const char *reply = userdata;
        const int fd = accept4(refusing_socket, NULL, NULL, SOCK_CLOEXEC);
        char unread[256];

        (void) !write(fd, reply, strlen(reply));
        (void) shutdown(fd, SHUT_WR);
        while (read(fd, unread, sizeof(unread)) > 0)
                ;
        (void) close(fd);
        return NULL;
}

/* -EBADMSG is what a key of a wrong type gives: no refusal of the connection, known or not, may look like it. */
Test(redis_faults, a_refused_connection_is_no_broken_key) {
        static const struct {
                const char *reply;
                int err;
        } cases[] = {
                { "-DENIED Redis is running in protected mode because …\r\n", -EACCES },
                { "-ERR Client sent AUTH, but no password is set\r\n", -EACCES },
                { "-WRONGTYPE as a proxy might say\r\n", -EPROTO },
        };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_free_ char *path = str_printf("%s/refusing.sock", directory), *other = str_printf("unix://%s", path);

        refusing_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        cr_assert_eq(bind(refusing_socket, (const struct sockaddr *) &address, sizeof(address)), 0);
        cr_assert_eq(listen(refusing_socket, 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(redis_conn_freep) RedisConn *c = NULL;
                _cleanup_error_ Error e = ERROR_INIT;
                pthread_t thread;

                cr_assert_eq(redis_conn_new(other, "unit test", 0, NULL, NULL, &c, &e), 0, "%s", error_text(&e));
                cr_assert_eq(pthread_create(&thread, NULL, refuse_thread, (void *) cases[i].reply), 0);
                cr_assert_eq(command(c, NULL, &e, "GET k"), cases[i].err, "%s", error_text(&e));
                cr_assert_eq(e.err, cases[i].err);
                cr_assert_eq(e.kind, ERROR_NEVER, "%s", error_text(&e));
                cr_assert_eq(pthread_join(thread, NULL), 0);
        }
        (void) close(refusing_socket);
        (void) unlink(path);
}

Test(redis_faults, a_hundred_thousand_commands_in_one_round_trip) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_to("?password=sesame", 0);
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t before;

        expect_ok(c, "PING");
        before = redis_conn_round_trips(c);
        cr_assert_eq(redis_pipeline_new(&p), 0);
        for (int i = 0; i < 100000; i++)
                cr_assert_eq(redis_pipeline_addv(p, "INCR", "n", NULL), 0);
        cr_assert_eq(redis_execute(c, "count", p, NULL, &e), 0, "%s", error_text(&e));
        for (size_t i = 0; i < redis_pipeline_count(p); i++)
                cr_assert_eq(redis_pipeline_reply(p, i)->integer, (long long) i + 1);
        cr_assert_eq(redis_conn_round_trips(c), before + 1);
}
