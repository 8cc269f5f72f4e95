/* The Redis client against a real server: replies, scripts, time-outs, lost connections. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/redis.h"
#include "tests/unit/number.h"

static RedisConn *connect_server(void) {
        const char *url = getenv("ROUNDTABLE_TEST_REDIS_URL");
        _cleanup_error_ Error e = ERROR_INIT;
        RedisConn *c = NULL;

        if (!url)
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        cr_assert_eq(redis_conn_new(url, "unit test", 0, NULL, NULL, &c, &e), 0, "%s", error_text(&e));
        return c;
}

/* One command of words; returns the reply. */
static redisReply *run(RedisConn *c, size_t argc, const char *const *argv) {
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;

        cr_assert_eq(redis_command(c, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        return reply;
}
#define RUN(c, ...)                                                                                                    \
        run(c, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })

Test(redis_url, forms_of_the_original) {
        static const struct {
                const char *url, *host, *path, *password;
                int port, database;
        } good[] = {
                { "redis://localhost:6382", "localhost", NULL, NULL, 6382, 0 },
                { "redis://h", "h", NULL, NULL, 6379, 0 },
                { "redis://h/3", "h", NULL, NULL, 6379, 3 },
                { "redis://:p%40ss@h:1/2", "h", NULL, "p@ss", 1, 2 },
                { "redis://user:pw@h:1", "h", NULL, "pw", 1, 0 },
                { "redis://h:1?db=4&password=x", "h", NULL, "x", 1, 4 },
                { "redis://[::1]:7000/1", "::1", NULL, NULL, 7000, 1 },
                { "/run/redis.sock", NULL, "/run/redis.sock", NULL, 6379, 0 },
                { "unix:///run/redis.sock?db=5", NULL, "/run/redis.sock", NULL, 6379, 5 },
        };
        static const char *const bad[] = { "localhost:6379",  "redis://h:0",  "redis://h:70000",
                                           "redis://h:x",     "redis://h/x",  "rediss://h",
                                           "unix://relative", "redis://[::1", "" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_error_ Error e = ERROR_INIT;
                RedisUrl u = { 0 };

                cr_assert_eq(redis_url_parse(good[i].url, &u, &e), 0, "%s: %s", good[i].url, error_text(&e));
                cr_assert(str_eq(u.host, good[i].host), "%s", good[i].url);
                cr_assert(str_eq(u.path, good[i].path), "%s", good[i].url);
                cr_assert(str_eq(u.password, good[i].password), "%s", good[i].url);
                cr_assert_eq(u.port, good[i].port, "%s", good[i].url);
                cr_assert_eq(u.database, good[i].database, "%s", good[i].url);
                cr_assert(!good[i].password || !strstr(u.display, good[i].password), "%s", u.display);
                redis_url_done(&u);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_INIT;
                RedisUrl u = { 0 };

                cr_assert_lt(redis_url_parse(bad[i], &u, &e), 0, "%s", bad[i]);
                cr_assert_eq(e.kind, ERROR_NEVER, "%s", bad[i]);
        }
}

Test(redis, binary_values_survive) {
        static const char value[] = "a\0b\r\n\xff";
        const char *argv[] = { "SET", "unit:binary", value };
        const size_t lengths[] = { 3, 11, sizeof(value) - 1 };
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply;

        cr_assert_eq(redis_command(c, "set", NULL, NULL, &e, 3, argv, lengths), 0, "%s", error_text(&e));
        reply = RUN(c, "GET", "unit:binary");
        cr_assert_eq(reply->len, sizeof(value) - 1);
        cr_assert_eq(memcmp(reply->str, value, reply->len), 0);
        freeReplyObject(reply);
}

Test(redis, long_pipeline_with_long_replies_does_not_block) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        char value[1025];

        (void) memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        cr_assert_eq(redis_pipeline_new(&p), 0);
        for (int i = 0; i < 20000; i++)
                cr_assert_eq(redis_pipeline_addv(p, "ECHO", value, NULL), 0);
        cr_assert_eq(redis_execute(c, "echo", p, NULL, &e), 0, "%s", error_text(&e));
        for (size_t i = 0; i < redis_pipeline_count(p); i++)
                cr_assert_eq(redis_pipeline_reply(p, i)->len, sizeof(value) - 1);
        cr_assert_leq(redis_conn_round_trips(c), 4);
}

typedef struct Seen {
        size_t n, stop_at;
        bool in_order;
} Seen;

static int see(size_t i, const redisReply *reply, void *userdata, Error *reterr) {
        Seen *s = userdata;

        if (i == s->stop_at)
                return error_set(reterr, ERROR_NEVER, -EDOM, "enough");
        s->in_order = s->in_order && i == s->n && reply->type == REDIS_REPLY_STRING && (size_t) number(reply->str) == i;
        s->n++;
        return 0;
}

Test(redis, replies_are_handed_over_one_by_one) {
        static const RedisScript script = { "unit.one", "return 1" };
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        Seen s = { .stop_at = SIZE_MAX, .in_order = true };
        redisReply *reply;
        char text[24];

        cr_assert_eq(redis_pipeline_new(&p), 0);
        for (int i = 0; i < 5000; i++) {
                (void) snprintf(text, sizeof(text), "%d", i);
                cr_assert_eq(redis_pipeline_addv(p, "ECHO", text, NULL), 0);
        }
        cr_assert_eq(redis_execute_each(c, "echo", p, see, &s, NULL, &e), 0, "%s", error_text(&e));
        cr_assert_eq(s.n, 5000);
        cr_assert(s.in_order);
        cr_assert_null(redis_pipeline_reply(p, 7));

        /* the callback ends it, and the replies that were not read are no answers to what comes next */
        s = (Seen){ .stop_at = 3, .in_order = true };
        cr_assert_eq(redis_execute_each(c, "echo", p, see, &s, NULL, &e), -EDOM);
        cr_assert_str_eq(error_text(&e), "enough");
        cr_assert_eq(s.n, 3);
        reply = RUN(c, "ECHO", "next");
        cr_assert_str_eq(reply->str, "next");
        freeReplyObject(reply);

        cr_assert_eq(redis_pipeline_add_script(p, &script, 0, NULL, 0, NULL), 0);
        cr_assert_eq(redis_execute_each(c, "echo", p, see, &s, NULL, &e), -EINVAL);
}

static bool same_reply(const redisReply *a, const redisReply *b) {
        if (a->type != b->type || a->integer != b->integer || a->elements != b->elements || a->len != b->len ||
            (a->str && memcmp(a->str, b->str, a->len + 1) != 0))
                return false;
        for (size_t i = 0; i < a->elements; i++)
                if (!same_reply(a->element[i], b->element[i]))
                        return false;
        return true;
}

static int compare(size_t i, const redisReply *reply, void *userdata, Error *reterr) {
        RedisPipeline *expected = userdata;

        return same_reply(redis_pipeline_reply(expected, i), reply)
                       ? 0
                       : error_set(reterr, ERROR_NEVER, -EDOM, "reply %zu differs", i);
}

/* They lie in memory that the next one uses again. */
Test(redis, replies_handed_over_are_those_that_are_kept) {
        _cleanup_redis_pipeline_ RedisPipeline *kept = NULL, *each = NULL;
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_free_ char *large = calloc(1, 3000001);
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply;

        cr_assert_not_null(large);
        (void) memset(large, 'x', 3000000);
        freeReplyObject(RUN(c, "DEL", "unit:list"));
        for (int i = 0; i < 1000; i++) {
                char text[16];

                (void) snprintf(text, sizeof(text), "%d", i);
                freeReplyObject(RUN(c, "RPUSH", "unit:list", text));
        }
        for (int i = 0; i < 2; i++) {
                RedisPipeline **p = i == 0 ? &kept : &each;

                cr_assert_eq(redis_pipeline_new(p), 0);
                for (int k = 0; k < 3; k++) {
                        cr_assert_eq(redis_pipeline_addv(*p, "SET", "unit:text", large + 3000000 / (k + 1), NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "MULTI", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "GET", "unit:text", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "LRANGE", "unit:list", "0", "-1", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "LRANGE", "unit:none", "0", "-1", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "INCR", "unit:list", NULL), 0); /* an error in the array */
                        cr_assert_eq(redis_pipeline_addv(*p, "STRLEN", "unit:text", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "EXEC", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "GET", "unit:none", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "ECHO", "", NULL), 0);
                        cr_assert_eq(redis_pipeline_addv(*p, "NONSENSE", NULL), 0);
                }
        }
        cr_assert_eq(redis_execute(c, "kept", kept, NULL, &e), 0, "%s", error_text(&e));
        cr_assert_eq(redis_pipeline_reply(kept, 7)->elements, 5);
        cr_assert_eq(redis_execute_each(c, "each", each, compare, kept, NULL, &e), 0, "%s", error_text(&e));
        /* what is asked for afterwards is the caller's again */
        reply = RUN(c, "ECHO", "next");
        cr_assert_str_eq(reply->str, "next");
        freeReplyObject(reply);
}

Test(redis, scripts_survive_a_flush) {
        static const RedisScript script = { "unit.add", "return redis.call('INCRBY', KEYS[1], ARGV[1])" };
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;

        freeReplyObject(RUN(c, "DEL", "unit:counter"));
        cr_assert_eq(redis_pipeline_new(&p), 0);
        for (int round = 1; round <= 3; round++) {
                redis_pipeline_clear(p);
                cr_assert_eq(redis_pipeline_addv(p, "PING", NULL), 0);
                cr_assert_eq(redis_pipeline_add_script(p, &script, 1, (const char *const[]){ "unit:counter" }, 1,
                                                       (const char *const[]){ "5" }),
                             0);
                cr_assert_eq(redis_execute(c, "add", p, NULL, &e), 0, "%s", error_text(&e));
                cr_assert_eq(redis_reply_check(redis_pipeline_reply(p, 1), REDIS_REPLY_INTEGER, "add", &e), 0, "%s",
                             error_text(&e));
                cr_assert_eq(redis_pipeline_reply(p, 1)->integer, 5 * round);
                freeReplyObject(RUN(c, "SCRIPT", "FLUSH"));
        }
}

Test(redis, error_replies_are_named) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_error_ Error e = ERROR_INIT;

        freeReplyObject(RUN(c, "SET", "unit:string", "x"));
        cr_assert_lt(
                redis_command(c, "push", NULL, NULL, &e, 3, (const char *const[]){ "LPUSH", "unit:string", "y" }, NULL),
                0);
        cr_assert_eq(e.kind, ERROR_NEVER);
        cr_assert(strstr(error_text(&e), "push") && strstr(error_text(&e), "WRONGTYPE"), "%s", error_text(&e));
}

/* Redis 7 says "-OOM …" from a script too; the longer form of Redis 6 is played back here. */
Test(redis, errors_inside_scripts_are_sorted_in_both_forms) {
        static const RedisScript script = { "unit.error", "return redis.error_reply(ARGV[1])" };
        static const struct {
                const char *text;
                ErrorKind kind;
                int err;
        } cases[] = {
                { "OOM command not allowed when used memory > 'maxmemory'.", ERROR_RETRY, -ENOSPC },
                { "ERR Error running script (call to f_b6): @user_script:7: @user_script: 7: -OOM command not allowed "
                  "when used memory > 'maxmemory'.",
                  ERROR_RETRY, -ENOSPC },
                { "ERR Error running script (call to f_b6): @user_script:7: @user_script: 7: -READONLY You can't write "
                  "against a read only replica.",
                  ERROR_RETRY, -EROFS },
                { "ERR Error running script (call to f_b6): @user_script:7: WRONGTYPE Operation against a key holding "
                  "the wrong kind of value",
                  ERROR_NEVER, -EBADMSG },
                { "ERR max number of clients reached", ERROR_RETRY, -EAGAIN },
                { "ERR Error compiling script (new function): -OOM is no code here", ERROR_NEVER, -EBADMSG },
        };
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
                _cleanup_error_ Error e = ERROR_INIT;

                cr_assert_eq(redis_pipeline_new(&p), 0);
                cr_assert_eq(redis_pipeline_add_script(p, &script, 0, NULL, 1, &cases[i].text), 0);
                cr_assert_eq(redis_execute(c, script.name, p, NULL, &e), 0, "%s", error_text(&e));
                cr_assert_eq(redis_reply_check(redis_pipeline_reply(p, 0), REDIS_REPLY_STRING, script.name, &e),
                             cases[i].err, "%s", error_text(&e));
                cr_assert_eq(e.kind, cases[i].kind, "%s", error_text(&e));
        }
}

Test(redis, nobody_listens) {
        _cleanup_(redis_conn_freep) RedisConn *c = NULL;
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(redis_conn_new("unix:///nonexistent/redis.sock", "x", 0, NULL, NULL, &c, &e), 0);
        cr_assert_lt(redis_command(c, "ping", NULL, NULL, &e, 1, (const char *const[]){ "PING" }, NULL), 0);
        cr_assert_eq(e.kind, ERROR_RETRY);
        cr_assert_not_null(e.hint);
}

Test(redis, reconnects_after_the_server_closed_it) {
        _cleanup_(redis_conn_freep) RedisConn *victim = connect_server();
        _cleanup_(redis_conn_freep) RedisConn *killer = connect_server();
        char id[32];
        redisReply *reply = RUN(victim, "CLIENT", "ID");

        (void) snprintf(id, sizeof(id), "%lld", reply->integer);
        freeReplyObject(reply);
        freeReplyObject(RUN(killer, "CLIENT", "KILL", "ID", id));
        freeReplyObject(RUN(victim, "PING"));
}

Test(redis, lost_reply_is_uncertain) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_error_ Error e = ERROR_INIT;

        /* QUIT's OK comes, then the server closes: the second command was sent and is never answered */
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;

        cr_assert_eq(redis_pipeline_new(&p), 0);
        cr_assert_eq(redis_pipeline_addv(p, "QUIT", NULL), 0);
        cr_assert_eq(redis_pipeline_addv(p, "INCR", "unit:lost", NULL), 0);
        cr_assert_lt(redis_execute(c, "quit", p, NULL, &e), 0);
        cr_assert_eq(e.kind, ERROR_UNCERTAIN, "%s", error_text(&e));
        freeReplyObject(RUN(c, "PING"));
}

static void *cancel_thread(void *userdata) {
        cancel_token_cancel(userdata, CANCEL_REQUEST);
        return NULL;
}

Test(redis, cancel_and_deadline_end_a_wait) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        _cleanup_cancel_token_ CancelToken *token = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        const char *const blpop[] = { "BLPOP", "unit:never", "0" };
        pthread_t thread;

        cr_assert_eq(cancel_token_new(&token), 0);
        cancel_token_set_deadline(token, clock_monotonic_usec() + 20 * USEC_PER_MSEC);
        cr_assert_eq(redis_command(c, "blpop", token, NULL, &e, 3, blpop, NULL), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_CANCELED);
        cancel_token_reset(token);
        cr_assert_eq(pthread_create(&thread, NULL, cancel_thread, token), 0);
        cr_assert_eq(redis_command(c, "blpop", token, NULL, &e, 3, blpop, NULL), -ECANCELED);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        freeReplyObject(RUN(c, "PING"));
}

Test(redis, command_timeout_drops_the_connection) {
        const char *url = getenv("ROUNDTABLE_TEST_REDIS_URL");
        _cleanup_(redis_conn_freep) RedisConn *c = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply;

        if (!url)
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        cr_assert_eq(redis_conn_new(url, "x", 50 * USEC_PER_MSEC, NULL, NULL, &c, &e), 0);
        cr_assert_lt(
                redis_command(c, "blpop", NULL, NULL, &e, 3, (const char *const[]){ "BLPOP", "unit:never", "0" }, NULL),
                0);
        cr_assert_eq(e.kind, ERROR_UNCERTAIN);
        reply = RUN(c, "ECHO", "fresh");
        cr_assert_str_eq(reply->str, "fresh");
        freeReplyObject(reply);
}
