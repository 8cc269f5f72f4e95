/* The lock operations against a real server, one test per sentence of the design about them. Each test has a service
 * name of its own, so that they can share a server; a FLUSHALL is played by deleting that service's keys. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/lock.h"
#include "common/lock_scripts.h"

#define VALUE "TIMEOUT NOT EXPIRED"
#define MINUTE (60 * USEC_PER_SEC)

static RedisConn *conn;
static char service[64];
static char uuid[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
static LockIdentity ours, theirs;
static LockTask plain, extended;

static char *text_of(size_t argc, const char *const *argv) {
        _cleanup_error_ Error e = ERROR_INIT;
        redisReply *reply = NULL;
        char *text;

        cr_assert_eq(redis_command(conn, argv[0], NULL, &reply, &e, argc, argv, NULL), 0, "%s", error_text(&e));
        if (reply->type == REDIS_REPLY_INTEGER)
                text = str_printf("%lld", reply->integer);
        else
                text = strdup(reply->type == REDIS_REPLY_NIL ? "nil" : reply->str ? reply->str : "");
        freeReplyObject(reply);
        return text;
}
#define TEXT(...)                                                                                                      \
        text_of(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })
#define DO(...) free(TEXT(__VA_ARGS__))

static char keys[5][160];
#define R keys[0]
#define E keys[1]
#define RUN keys[2]
#define PAUSED keys[3]
#define EPOCH keys[4]

static void flush(void) {
        DO("DEL", R, E, RUN, PAUSED, EPOCH);
}

static void expect(const char *expected, char *text) {
        cr_assert_str_eq(text, expected);
        free(text);
}

static long long ttl(const char *key) {
        _cleanup_free_ char *text = TEXT("PTTL", key);

        return strtoll(text, NULL, 10);
}

/* PTTL of key is `msec`, give or take what the test itself took. */
static void expect_ttl(const char *key, long long msec) {
        const long long left = ttl(key);

        cr_assert(left <= msec && left > msec - 5000, "%s: %lld instead of %lld ms", key, left, msec);
}

static void setup(void) {
        static const char *const formats[] = { "%s.loops.t.task_timeouts", "%s.loops.t.task_extended_timeouts",
                                               "%s.control.t.run", "%s.control.t.paused", "%s.control.epoch" };
        const char *url = getenv("ROUNDTABLE_TEST_REDIS_URL");
        _cleanup_error_ Error e = ERROR_INIT;

        if (!url)
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        cr_assert_eq(redis_conn_new(url, "unit test", 0, NULL, NULL, &conn, &e), 0, "%s", error_text(&e));
        (void) snprintf(service, sizeof(service), "lock-%s", random_uuid(uuid));
        (void) random_uuid(other);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        for (size_t i = 0; i < ELEMENTSOF(formats); i++)
                (void) snprintf(keys[i], sizeof(keys[i]), formats[i], service);
#pragma GCC diagnostic pop
        ours = (LockIdentity){ service, "host-a", "market", "instance-a" };
        theirs = (LockIdentity){ service, "host-b", "market", "instance-b" };
        plain = (LockTask){ "t", MINUTE, 2 * MINUTE, false };
        extended = (LockTask){ "t", MINUTE, 3 * MINUTE, true };
        DO("SET", EPOCH, "1"); /* nobody flushed recently */
}

static void teardown(void) {
        if (!conn)
                return;
        flush();
        conn = redis_conn_free(conn);
}

TestSuite(lock, .init = setup, .fini = teardown);

static LockOutcome take_as(const LockIdentity *id, const LockTask *task, const char *u, unsigned flags,
                           LockTakeResult *ret) {
        _cleanup_(lock_take_result_done) LockTakeResult result = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(lock_take(conn, id, task, u, "run-1", flags, NULL, &result, &e), 0, "%s", error_text(&e));
        if (ret) {
                *ret = result;
                result.holder = NULL;
        }
        return result.outcome;
}

static LockOutcome take(const LockIdentity *id, const LockTask *task, const char *u) {
        return take_as(id, task, u, 0, NULL);
}

static LockRenewOutcome renew(const LockTask *task, const char *u) {
        _cleanup_error_ Error e = ERROR_INIT;
        LockRenewOutcome outcome = LOCK_LOST;

        cr_assert_eq(lock_renew(conn, &ours, task, u, "run-1", (int64_t) clock_realtime_usec(), NULL, &outcome, &e), 0,
                     "%s", error_text(&e));
        return outcome;
}

static uint64_t end(const char *u, const char *result) {
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t wait_usec = 0;

        cr_assert_eq(lock_end(conn, &ours, &plain, u, result, NULL, &wait_usec, &e), 0, "%s", error_text(&e));
        return wait_usec;
}

/* The run started `ago` before now, by the server's clock. */
static void started(uint64_t ago_usec) {
        char text[32];

        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) (clock_realtime_usec() - ago_usec));
        DO("HSET", RUN, "started", text);
}

/* Somebody else set R: the value is the same, its expiry is not the one we recorded. */
static void foreign_r(const char *msec) {
        DO("SET", R, VALUE, "PX", msec);
}

Test(lock, take_gets_both_and_writes_the_run_hash) {
        _cleanup_free_ char *value = str_printf("%s %s", VALUE, uuid);
        LockTakeResult result = { 0 };

        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_TAKEN);
        cr_assert_str_eq(result.uuid, uuid);
        cr_assert_gt(result.started_usec, 0);
        cr_assert_null(result.holder);
        expect(VALUE, TEXT("GET", R));
        expect(value, TEXT("GET", E));
        expect_ttl(R, 60000);
        expect_ttl(E, 120000);
        expect("host-a", TEXT("HGET", RUN, "host"));
        expect("market", TEXT("HGET", RUN, "worker"));
        expect("instance-a", TEXT("HGET", RUN, "instance"));
        expect("run-1", TEXT("HGET", RUN, "run_id"));
}

Test(lock, held_r_leaves_e_alone) {
        LockTakeResult result = { 0 };

        foreign_r("40000");
        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_HELD_R);
        cr_assert(result.wait_usec > 35 * USEC_PER_SEC && result.wait_usec <= 40 * USEC_PER_SEC);
        cr_assert(strstr(result.holder, "original"), "%s", result.holder);
        lock_take_result_done(&result);
        expect("0", TEXT("EXISTS", E));
        expect("0", TEXT("EXISTS", RUN));
}

Test(lock, held_e_leaves_r_alone) {
        LockTakeResult result = { 0 };

        DO("SET", E, VALUE " of-an-original", "PX", "90000");
        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_HELD_E);
        cr_assert(result.wait_usec > 85 * USEC_PER_SEC && result.wait_usec <= 90 * USEC_PER_SEC);
        cr_assert(strstr(result.holder, "original"), "%s", result.holder);
        lock_take_result_done(&result);
        expect("0", TEXT("EXISTS", R));
        expect("0", TEXT("EXISTS", RUN));
}

Test(lock, the_holder_is_named) {
        LockTakeResult result = { 0 };

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        cr_assert_eq(take_as(&theirs, &plain, other, 0, &result), LOCK_HELD_R);
        cr_assert(strstr(result.holder, "host-a") && strstr(result.holder, "run-1"), "%s", result.holder);
        cr_assert_eq(result.holder_kind, LOCK_HOLDER_RUN);
        lock_take_result_done(&result);
        /* after the end there is only an interval left */
        (void) end(uuid, "ok");
        cr_assert_eq(take_as(&theirs, &plain, other, 0, &result), LOCK_HELD_R);
        cr_assert_eq(result.holder_kind, LOCK_HOLDER_INTERVAL);
        lock_take_result_done(&result);
        foreign_r("40000");
        cr_assert_eq(take_as(&theirs, &plain, other, 0, &result), LOCK_HELD_R);
        cr_assert_eq(result.holder_kind, LOCK_HOLDER_UNKNOWN);
        lock_take_result_done(&result);
}

Test(lock, a_pause_names_who_and_why) {
        LockTakeResult result = { 0 };

        DO("HSET", PAUSED, "who", "ann", "host", "db1", "reason", "repair");
        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_PAUSED);
        cr_assert_str_eq(result.holder, "ann on db1: repair");
        lock_take_result_done(&result);
        /* whatever is there holds the task */
        DO("DEL", PAUSED);
        DO("SET", PAUSED, "no hash");
        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_PAUSED);
        lock_take_result_done(&result);
}

Test(lock, key_without_a_ttl_waits_an_interval_and_says_so) {
        LockTakeResult result = { 0 };

        DO("SET", R, VALUE);
        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_HELD_R);
        cr_assert_eq(result.wait_usec, MINUTE);
        cr_assert(strstr(result.holder, R) && strstr(result.holder, "without a TTL"), "%s", result.holder);
        lock_take_result_done(&result);
        DO("DEL", R);
        DO("SET", E, "x");
        cr_assert_eq(take_as(&ours, &plain, uuid, 0, &result), LOCK_HELD_E);
        cr_assert_eq(result.wait_usec, MINUTE);
        cr_assert(strstr(result.holder, E) && strstr(result.holder, "without a TTL"), "%s", result.holder);
        lock_take_result_done(&result);
}

Test(lock, trigger_goes_past_r_but_not_past_e) {
        foreign_r("40000");
        cr_assert_eq(take_as(&ours, &plain, uuid, LOCK_IGNORE_R, NULL), LOCK_TAKEN);
        expect_ttl(R, 40000);
        cr_assert_eq(take_as(&theirs, &plain, other, LOCK_IGNORE_R, NULL), LOCK_HELD_E);
        (void) end(uuid, "ok");
        expect_ttl(R, 40000); /* not ours: left as it is */
}

Test(lock, trigger_renews_an_r_of_ours) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        started(30 * USEC_PER_SEC);
        (void) end(uuid, "ok");
        expect_ttl(R, 30000);
        cr_assert_eq(take_as(&theirs, &plain, other, LOCK_IGNORE_R, NULL), LOCK_TAKEN);
        expect_ttl(R, 60000);
}

Test(lock, after_a_flush_owners_reassert_and_nobody_takes) {
        LockTakeResult result = { 0 };

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        flush();
        cr_assert_eq(take_as(&theirs, &plain, other, 0, &result), LOCK_WAIT_EPOCH);
        cr_assert(result.wait_usec > 1 * USEC_PER_SEC && result.wait_usec <= 6 * USEC_PER_SEC);
        lock_take_result_done(&result);
        expect("0", TEXT("EXISTS", E));
        cr_assert_eq(renew(&plain, uuid), LOCK_RENEWED);
        expect_ttl(R, 60000);
        expect_ttl(E, 120000);
        expect("instance-a", TEXT("HGET", RUN, "instance"));
        expect("host-a", TEXT("HGET", RUN, "host"));
        DO("SET", EPOCH, "1"); /* six seconds later */
        cr_assert_eq(take(&theirs, &plain, other), LOCK_HELD_R);
}

Test(lock, a_renewal_notices_the_flush_too) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        flush();
        cr_assert_eq(renew(&plain, uuid), LOCK_RENEWED);
        cr_assert_eq(take(&theirs, &plain, other), LOCK_WAIT_EPOCH);
}

Test(lock, an_epoch_from_the_future_blocks_nobody) {
        DO("SET", EPOCH, "9000000000000000");
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
}

Test(lock, renewal_sets_all_three) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        cr_assert_eq(renew(&plain, uuid), LOCK_RENEWED);
        expect_ttl(R, 60000);
        expect_ttl(E, 120000);
        /* and what it recorded is found again */
        cr_assert_eq(renew(&plain, uuid), LOCK_RENEWED);
}

Test(lock, gone_keys_are_set_again) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        DO("DEL", R, E);
        cr_assert_eq(renew(&plain, uuid), LOCK_RENEWED);
        expect_ttl(R, 60000);
        expect_ttl(E, 120000);
}

Test(lock, foreign_e_cancels) {
        cr_assert_eq(take(&ours, &extended, uuid), LOCK_TAKEN);
        DO("SET", E, VALUE " somebody", "PX", "50000");
        cr_assert_eq(renew(&extended, uuid), LOCK_LOST);
        expect(VALUE " somebody", TEXT("GET", E));
        (void) end(uuid, "cancelled");
        expect(VALUE " somebody", TEXT("GET", E));
}

Test(lock, foreign_r_cancels_what_the_original_does_not_extend) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        foreign_r("30000");
        cr_assert_eq(renew(&plain, uuid), LOCK_LOST);
        expect_ttl(R, 30000);
}

Test(lock, foreign_r_is_left_alone_where_the_original_extends) {
        cr_assert_eq(take(&ours, &extended, uuid), LOCK_TAKEN);
        foreign_r("30000");
        cr_assert_eq(renew(&extended, uuid), LOCK_RENEWED_FOREIGN_R);
        expect_ttl(R, 30000);
        expect_ttl(E, 180000);
        (void) end(uuid, "ok");
        expect_ttl(R, 30000);
        expect("0", TEXT("EXISTS", E));
}

Test(lock, r_that_expires_otherwise_than_recorded_is_foreign) {
        _cleanup_free_ char *left = NULL;

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        /* 20 ms away from what was recorded: more than clocks and rounding explain */
        left = str_printf("%lld", ttl(R) - 20);
        DO("PEXPIRE", R, left);
        cr_assert_eq(renew(&plain, uuid), LOCK_LOST);
}

Test(lock, end_leaves_r_to_the_end_of_the_interval) {
        uint64_t wait_usec;

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        cr_assert_eq(renew(&plain, uuid), LOCK_RENEWED);
        started(20 * USEC_PER_SEC);
        wait_usec = end(uuid, "ok");
        cr_assert(wait_usec > 35 * USEC_PER_SEC && wait_usec <= 40 * USEC_PER_SEC);
        expect_ttl(R, 40000);
        expect("0", TEXT("EXISTS", E));
        expect("ok", TEXT("HGET", RUN, "last_result"));
        expect("1", TEXT("HEXISTS", RUN, "last_success"));
}

Test(lock, end_after_the_interval_frees_r) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        started(2 * MINUTE);
        cr_assert_eq(end(uuid, "failed"), 0);
        expect("0", TEXT("EXISTS", R));
        expect("0", TEXT("HEXISTS", RUN, "last_success"));
        cr_assert_eq(take(&theirs, &plain, other), LOCK_TAKEN);
}

Test(lock, an_abandoned_run_gives_r_back) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        cr_assert_eq(end(uuid, "abandoned"), 0);
        cr_assert_eq(take(&theirs, &plain, other), LOCK_TAKEN);
}

Test(lock, end_does_not_touch_a_successor) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        DO("DEL", R, E); /* expired while we were frozen */
        cr_assert_eq(take(&theirs, &plain, other), LOCK_TAKEN);
        (void) end(uuid, "ok");
        expect("1", TEXT("EXISTS", E));
        expect_ttl(R, 60000);
        expect("instance-b", TEXT("HGET", RUN, "instance"));
}

Test(lock, a_renewal_that_arrives_after_the_end_changes_nothing) {
        _cleanup_free_ char *started_text = NULL;
        LockRenewOutcome outcome = LOCK_RENEWED;
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        started_text = TEXT("HGET", RUN, "started");
        (void) end(uuid, "ok");
        cr_assert_eq(
                lock_renew(conn, &ours, &plain, uuid, "run-1", strtoll(started_text, NULL, 10), NULL, &outcome, &e), 0,
                "%s", error_text(&e));
        cr_assert_eq(outcome, LOCK_LOST);
        expect("0", TEXT("EXISTS", E));
}

Test(lock, undo_takes_back_only_its_own) {
        _cleanup_error_ Error e = ERROR_INIT;
        char fresh[UUID_TEXT_SIZE];

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        cr_assert_eq(lock_undo(conn, &theirs, &plain, other, NULL, &e), 0, "%s", error_text(&e));
        expect("1", TEXT("EXISTS", E));
        expect("1", TEXT("EXISTS", R));
        cr_assert_eq(lock_undo(conn, &ours, &plain, uuid, NULL, &e), 0, "%s", error_text(&e));
        expect("0", TEXT("EXISTS", E));
        expect("0", TEXT("EXISTS", R));
        /* a take that arrives after its undoing, over the connection that was given up, changes nothing */
        cr_assert_eq(take(&theirs, &plain, other), LOCK_HELD_R);
        expect("0", TEXT("EXISTS", E));
        expect("0", TEXT("EXISTS", R));
        cr_assert_eq(take(&theirs, &plain, random_uuid(fresh)), LOCK_TAKEN);
}

Test(lock, a_dead_instance_gives_back_the_remainder) {
        const char *const dead[] = { "instance-x", "instance-a" }, *const alive[] = { "instance-y" };
        _cleanup_error_ Error e = ERROR_INIT;
        bool cleared = true;

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        started(50 * USEC_PER_SEC);
        cr_assert_eq(lock_clear_dead(conn, &theirs, &plain, alive, 1, NULL, &cleared, &e), 0);
        cr_assert_not(cleared);
        expect("1", TEXT("EXISTS", E));
        cr_assert_eq(lock_clear_dead(conn, &theirs, &plain, dead, 2, NULL, &cleared, &e), 0, "%s", error_text(&e));
        cr_assert(cleared);
        expect("0", TEXT("EXISTS", E));
        expect_ttl(R, 10000);
        cr_assert_eq(lock_clear_dead(conn, &theirs, &plain, dead, 2, NULL, &cleared, &e), 0);
        cr_assert_not(cleared);
}

static bool keep(char **ret_text) {
        _cleanup_error_ Error e = ERROR_INIT;
        char *text = NULL;

        cr_assert_eq(lock_keep_paused(conn, &ours, &plain, 1, NULL, &text, &e), 0, "%s", error_text(&e));
        if (ret_text)
                *ret_text = text;
        else
                free(text);
        return text != NULL;
}

static void pause_task(uint64_t until_usec) {
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(lock_pause(conn, &theirs, &plain, "alice", "moving the disks", until_usec, NULL, &e), 0, "%s",
                     error_text(&e));
}

static bool resume(void) {
        _cleanup_error_ Error e = ERROR_INIT;
        bool was = false;

        cr_assert_eq(lock_resume(conn, &ours, &plain, NULL, &was, &e), 0, "%s", error_text(&e));
        return was;
}

Test(lock, paused_tasks_are_not_taken_and_originals_see_r) {
        _cleanup_free_ char *text = NULL;

        pause_task(0);
        expect_ttl(R, 60000);
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_PAUSED);
        cr_assert(keep(&text));
        cr_assert(strstr(text, "alice") && strstr(text, "moving the disks"), "%s", text);
        expect("-1", TEXT("PTTL", PAUSED));
        cr_assert_eq(take_as(&ours, &plain, uuid, LOCK_IGNORE_R | LOCK_IGNORE_PAUSE, NULL), LOCK_TAKEN);
}

/* The script with a server that loses the processor for 20 ms where its first look at the clock is over. */
static char *preempted(const RedisScript *script) {
        static const char mark[] = "local now = clock()\n";
        const char *at = strstr(script->text, mark);

        cr_assert_not_null(at);
        at += strlen(mark);
        return str_printf("%.*sfor i = 1, 500000 do if clock() > now + 20000 then break end end\n%s",
                          (int) (at - script->text), script->text, at);
}

/* Up to Redis 7.0 each command of a script has the time anew. */
Test(lock, a_server_that_is_kept_waiting_in_mid_script_loses_nobody_an_r) {
        _cleanup_free_ char *take_text = preempted(&lock_script_take), *renew_text = preempted(&lock_script_renew),
                            *started = NULL;
        LockTakeResult result;

        DO("EVAL", take_text, "5", R, E, RUN, PAUSED, EPOCH, uuid, "run-1", "60000", "120000", ours.host, ours.worker,
           ours.instance, "0", "0", "6000");
        cr_assert_eq(take_as(&theirs, &plain, other, 0, &result), LOCK_HELD_R);
        cr_assert(strstr(result.holder, ours.host), "%s", result.holder);
        lock_take_result_done(&result);
        started = TEXT("HGET", RUN, "started");
        expect("renewed", TEXT("EVAL", renew_text, "5", R, E, RUN, PAUSED, EPOCH, uuid, "run-1", "60000", "120000",
                               ours.host, ours.worker, ours.instance, "0", started));
        (void) end(uuid, "ok");
        cr_assert_eq(take_as(&theirs, &plain, other, 0, &result), LOCK_HELD_R);
        cr_assert_eq(result.holder_kind, LOCK_HOLDER_INTERVAL, "%s", result.holder);
        lock_take_result_done(&result);
}

Test(lock, while_paused_r_is_set_to_a_minute_and_never_shortened) {
        pause_task(0);
        DO("DEL", R);
        cr_assert(keep(NULL));
        expect_ttl(R, 60000);
        DO("PEXPIRE", R, "29000");
        cr_assert(keep(NULL));
        expect_ttl(R, 60000);
        DO("PEXPIRE", R, "40000");
        cr_assert(keep(NULL));
        expect_ttl(R, 40000);
        DO("PEXPIRE", R, "600000");
        cr_assert(keep(NULL));
        expect_ttl(R, 600000);
        DO("PERSIST", R);
        cr_assert(keep(NULL));
        expect("-1", TEXT("PTTL", R));
}

Test(lock, a_key_of_a_wrong_type_hides_its_own_task_only) {
        const LockTask tasks[] = { { "broken", MINUTE, 2 * MINUTE, false }, plain };
        char *texts[2], broken_paused[160], broken_run[160];
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *fleet;

        (void) snprintf(broken_paused, sizeof(broken_paused), "%s.control.broken.paused", service);
        (void) snprintf(broken_run, sizeof(broken_run), "%s.control.broken.run", service);
        DO("SET", broken_paused, "not a hash");
        DO("SET", broken_run, "not a hash");
        pause_task(0);
        cr_assert_eq(lock_keep_paused(conn, &ours, tasks, 2, NULL, texts, &e), 0, "%s", error_text(&e));
        cr_assert(strstr(texts[0], "WRONGTYPE"), "%s", texts[0]);
        cr_assert(strstr(texts[1], "alice"), "%s", texts[1]);
        free(texts[0]);
        free(texts[1]);
        cr_assert_eq(lock_fleet_status(conn, &ours, tasks, 2, NULL, &fleet, &e), 0, "%s", error_text(&e));
        cr_assert(json_is_null(json_object_get(fleet, "broken")));
        cr_assert(json_is_object(json_object_get(json_object_get(fleet, "t"), "paused")));
        json_decref(fleet);
        DO("DEL", broken_paused, broken_run);
}

Test(lock, not_paused_nothing_is_kept) {
        cr_assert_not(keep(NULL));
        expect("0", TEXT("EXISTS", R));
}

Test(lock, a_run_that_ends_while_paused_leaves_an_r) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        pause_task(0);
        started(2 * MINUTE);
        (void) end(uuid, "cancelled");
        expect_ttl(R, 60000);
        expect("0", TEXT("EXISTS", E));
}

Test(lock, pause_until_is_the_keys_ttl) {
        pause_task(clock_realtime_usec() + 90 * USEC_PER_SEC);
        expect_ttl(PAUSED, 90000);
        /* over already: nobody is held */
        pause_task(clock_realtime_usec() - USEC_PER_SEC);
        cr_assert_not(keep(NULL));
        expect_ttl(R, 60000); /* of the first one */
}

Test(lock, a_pause_holds_r_no_longer_than_it_lasts) {
        pause_task(clock_realtime_usec() + 20 * USEC_PER_SEC);
        expect_ttl(R, 20000);
        DO("DEL", R);
        cr_assert(keep(NULL));
        expect_ttl(R, 20000);
        /* nor is one that lives longer shortened */
        DO("PEXPIRE", R, "25000");
        cr_assert(keep(NULL));
        expect_ttl(R, 25000);
        DO("DEL", R);
        pause_task(clock_realtime_usec() - USEC_PER_SEC);
        expect("0", TEXT("EXISTS", R));
}

Test(lock, resume_gives_r_what_is_left_of_the_interval) {
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        (void) end(uuid, "ok");
        pause_task(0);
        started(50 * USEC_PER_SEC);
        DO("DEL", R);
        cr_assert(keep(NULL));
        expect_ttl(R, 60000);
        cr_assert(resume());
        expect("0", TEXT("EXISTS", PAUSED));
        expect_ttl(R, 10000);
        cr_assert_not(resume());
}

Test(lock, resume_long_after_the_interval_frees_r) {
        pause_task(0);
        cr_assert(resume());
        expect("0", TEXT("EXISTS", R));
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
}

Test(lock, resume_leaves_a_foreign_r_and_a_running_r) {
        pause_task(0);
        foreign_r("45000");
        cr_assert(resume());
        expect_ttl(R, 45000);
        DO("DEL", R);
        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        pause_task(0);
        started(2 * MINUTE);
        cr_assert(resume());
        expect_ttl(R, 60000); /* the run still lasts */
}

Test(lock, fleet_status_tells_who_runs_what) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *fleet = NULL, *entry;

        cr_assert_eq(take(&ours, &plain, uuid), LOCK_TAKEN);
        pause_task(clock_realtime_usec() + 90 * USEC_PER_SEC);
        cr_assert_eq(lock_fleet_status(conn, &theirs, &plain, 1, NULL, &fleet, &e), 0, "%s", error_text(&e));
        entry = json_object_get(fleet, "t");
        cr_assert(json_is_true(json_object_get(entry, "running")));
        cr_assert_str_eq(json_string_value(json_object_get(json_object_get(entry, "run"), "host")), "host-a");
        cr_assert_str_eq(json_string_value(json_object_get(json_object_get(entry, "paused"), "who")), "alice");
        cr_assert(json_is_integer(json_object_get(json_object_get(entry, "paused"), "until")));
        cr_assert_gt(json_integer_value(json_object_get(entry, "e_ttl_usec")), 100 * (json_int_t) USEC_PER_SEC);
        json_decref(fleet);
        flush();
        foreign_r("1000");
        cr_assert_eq(lock_fleet_status(conn, &theirs, &plain, 1, NULL, &fleet, &e), 0, "%s", error_text(&e));
        entry = json_object_get(fleet, "t");
        cr_assert(strstr(json_string_value(json_object_get(entry, "holder")), "original"));
        cr_assert(json_is_null(json_object_get(entry, "paused")));
        json_decref(fleet);
}
