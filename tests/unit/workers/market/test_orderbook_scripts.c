/* The atomic operations on a real Redis: market specification, section 5, and the boundaries of section 17. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/number.h"
#include "workers/market/orderbook_scripts.h"

/* Sizes and times of the bids, then of the asks. Tests run at once, each in a process of its own. */
static char key_texts[4][64];
static const char *const keys[] = { key_texts[0], key_texts[1], key_texts[2], key_texts[3] };

static RedisConn *connect_server(void) {
        const char *url = getenv("ROUNDTABLE_TEST_REDIS_URL");
        _cleanup_error_ Error e = ERROR_INIT;
        RedisConn *c = NULL;

        if (!url)
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        for (int i = 0; i < 4; i++)
                (void) snprintf(key_texts[i], sizeof(key_texts[i]), "unit:book:%d:%d", (int) getpid(), i);
        cr_assert_eq(redis_conn_new(url, "unit test", 0, NULL, NULL, &c, &e), 0, "%s", error_text(&e));
        return c;
}

/* One command of words; its integer, or the number in its text, or -1. */
static long run(RedisConn *c, size_t argc, const char *const *argv) {
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;
        long value;

        cr_assert_eq(redis_command(c, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        value = reply->type == REDIS_REPLY_INTEGER                    ? (long) reply->integer
                : reply->type == REDIS_REPLY_STRING                   ? number(reply->str)
                : reply->type == REDIS_REPLY_ARRAY && reply->elements ? number(reply->element[0]->str)
                                                                      : -1;
        freeReplyObject(reply);
        return value;
}
#define RUN(c, ...)                                                                                                    \
        run(c, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })

/* The answers of one script: its integer, or its integers as decimal digits, or -1 and the error. */
static long script(RedisConn *c, const RedisScript *s, size_t n_keys, size_t n_args, const char *const *args) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        const redisReply *reply;
        long value = 0;

        cr_assert_eq(redis_pipeline_new(&p), 0);
        cr_assert_eq(redis_pipeline_add_script(p, s, n_keys, keys, n_args, args), 0);
        cr_assert_eq(redis_execute(c, s->name, p, NULL, &e), 0, "%s", error_text(&e));
        reply = redis_pipeline_reply(p, 0);
        if (reply->type == REDIS_REPLY_INTEGER)
                return (long) reply->integer;
        if (reply->type != REDIS_REPLY_ARRAY)
                return -1;
        for (size_t i = 0; i < reply->elements; i++)
                value = value * 10 +
                        (reply->element[i]->type == REDIS_REPLY_INTEGER ? (long) reply->element[i]->integer : 9);
        return value;
}
#define SCRIPT(c, s, n_keys, ...)                                                                                      \
        script(c, s, n_keys, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *),                                 \
               (const char *const[]){ __VA_ARGS__ })

static void clear(RedisConn *c) {
        (void) RUN(c, "DEL", keys[0], keys[1], keys[2], keys[3]);
}

static const char *seconds_ago(RedisConn *c, long age, char *text, size_t size) {
        (void) snprintf(text, size, "%ld", RUN(c, "TIME") - age);
        return text;
}

Test(orderbook_scripts, zero_levels_alone_are_deleted) {
        static const struct {
                const char *size;
                long deleted;
        } cases[] = { { "0", 1 }, { "-0", 1 }, { "1", 0 }, { "-5", 0 }, { "x", 0 }, { "", 0 } };
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();

        clear(c);
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_zero, 2, "5"), 0); /* absent */
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                (void) RUN(c, "HSET", keys[0], "5", cases[i].size);
                (void) RUN(c, "HSET", keys[1], "5", "1");
                cr_assert_eq(SCRIPT(c, &orderbook_script_delete_zero, 2, "5"), cases[i].deleted, "%s", cases[i].size);
                cr_assert_eq(RUN(c, "HEXISTS", keys[0], "5"), !cases[i].deleted);
                cr_assert_eq(RUN(c, "HEXISTS", keys[1], "5"), !cases[i].deleted);
        }
        clear(c);
        (void) RUN(c, "HSET", keys[0], "5", "0"); /* without a time */
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_zero, 2, "5"), 1);
        /* a key of the wrong type: nothing is changed */
        (void) RUN(c, "HSET", keys[0], "5", "0");
        (void) RUN(c, "SET", keys[1], "text");
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_zero, 2, "5"), -1);
        cr_assert_eq(RUN(c, "HEXISTS", keys[0], "5"), 1);
        clear(c);
}

Test(orderbook_scripts, stale_levels_are_deleted_when_they_are_as_they_were_read) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        char text[32], later[32];

        clear(c);
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_stale, 4, "10", "1", "5", "1"), 0); /* no time */
        /* exactly the threshold is kept; the clock may have moved on between the two commands, but not back */
        for (int i = 0; i < 100; i++) {
                long now = RUN(c, "TIME"), deleted;

                (void) seconds_ago(c, 10, text, sizeof(text));
                (void) RUN(c, "HSET", keys[0], "5", "7");
                (void) RUN(c, "HSET", keys[1], "5", text);
                deleted = SCRIPT(c, &orderbook_script_delete_stale, 4, "10", "1", "5", text);
                if (RUN(c, "TIME") != now)
                        continue;
                cr_assert_eq(deleted, 0);
                break;
        }
        (void) seconds_ago(c, 12, text, sizeof(text));
        (void) RUN(c, "HSET", keys[0], "5", "7");
        (void) RUN(c, "HSET", keys[1], "5", text);
        /* changed since it was read */
        cr_assert_eq(
                SCRIPT(c, &orderbook_script_delete_stale, 4, "10", "1", "5", seconds_ago(c, 100, later, sizeof(later))),
                0);
        cr_assert_eq(RUN(c, "HEXISTS", keys[0], "5"), 1);
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_stale, 4, "10", "1", "5", text), 1);
        cr_assert_eq(RUN(c, "EXISTS", keys[0], keys[1]), 0);
        /* without a size; the size is not looked at */
        (void) RUN(c, "HSET", keys[1], "5", text);
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_stale, 4, "10", "1", "5", text), 1);
        /* a time that is no number */
        (void) RUN(c, "HSET", keys[1], "5", "x");
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_stale, 4, "10", "1", "5", "x"), 0);
        clear(c);
}

Test(orderbook_scripts, stale_levels_of_both_sides_in_one_call) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();
        char old[32], fresh[32];

        clear(c);
        (void) seconds_ago(c, 50, old, sizeof(old));
        (void) seconds_ago(c, 0, fresh, sizeof(fresh));
        for (int side = 0; side < 4; side += 2) {
                (void) RUN(c, "HSET", keys[side], "5", "1", "6", "1");
                (void) RUN(c, "HSET", keys[side + 1], "5", old, "6", fresh);
        }
        /* bids 5 and 6, asks 6 and 5 */
        cr_assert_eq(SCRIPT(c, &orderbook_script_delete_stale, 4, "10.000000", "2", "5", old, "6", fresh, "6", fresh,
                            "5", old),
                     1001);
        for (int i = 0; i < 4; i++) {
                cr_assert_eq(RUN(c, "HEXISTS", keys[i], "5"), 0);
                cr_assert_eq(RUN(c, "HEXISTS", keys[i], "6"), 1);
        }
        clear(c);
}

Test(orderbook_scripts, mid_prices_are_kept_for_a_minute) {
        _cleanup_(redis_conn_freep) RedisConn *c = connect_server();

        clear(c);
        (void) RUN(c, "ZADD", keys[0], "1700000000", "100.25", "1700000001", "100.5");
        (void) RUN(c, "SET", keys[1], "text");
        cr_assert_eq(SCRIPT(c, &orderbook_script_add_mid_prices, 3, "100.75", "1", "7.13e-09", "1700000060"), 191);
        cr_assert_eq(RUN(c, "ZCARD", keys[0]), 2);
        cr_assert_eq(RUN(c, "ZSCORE", keys[0], "100.5"), 1700000001);
        cr_assert_eq(RUN(c, "ZSCORE", keys[0], "100.75"), 1700000060);
        cr_assert_eq(RUN(c, "ZSCORE", keys[2], "7.13e-09"), 1700000060);
        /* the same price moves its score */
        cr_assert_eq(SCRIPT(c, &orderbook_script_add_mid_prices, 1, "100.75", "1700000061"), 1);
        cr_assert_eq(RUN(c, "ZCARD", keys[0]), 1);
        cr_assert_eq(RUN(c, "ZSCORE", keys[0], "100.75"), 1700000061);
        cr_assert_eq(SCRIPT(c, &orderbook_script_add_mid_prices, 1, "1", "soon"), -1);
        clear(c);
}
