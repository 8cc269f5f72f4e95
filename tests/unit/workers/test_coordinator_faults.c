/* The coordinator and a Redis that is frozen, away, starts anew or has broken keys. */

#include "tests/unit/workers/coordinator_fixture.h"

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
        e = wait_event(c, COORDINATOR_NOT_TAKEN);
        cr_assert_eq(e.outcome, LOCK_NOT_ASKED);
        coordinator_event_done(&e);
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

/* A server that refuses the connection is away, whatever it says: what is to be done there first is not left out. */
Test(coordinator, a_dead_predecessor_is_cleared_when_the_server_has_room_again) {
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init_own(&f);
        leave_lock_of_the_dead(&f);
        freeReplyObject(RUN(f.redis, "CONFIG", "SET", "maxclients", "1"));
        c = start(&f, "new", one_task, 1, "dead");
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert(e.text && strstr(e.text, "max number of clients"), "%s", e.text);
        coordinator_event_done(&e);
        freeReplyObject(RUN(f.redis, "CONFIG", "SET", "maxclients", "100"));
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        cr_assert_null(e.text);
        coordinator_event_done(&e);
        coordinator_take(c, 0, "run", LOCK_IGNORE_R, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        (void) coordinator_free(c, 5 * USEC_PER_SEC);
}

/* Nor is it a broken key's fault that a lock cannot be given back: it is tried until the time is over. */
Test(coordinator, free_waits_for_a_server_that_refuses_connections) {
        _cleanup_fixture_ Fixture f;
        CoordinatorEvent e;
        Coordinator *c;

        fixture_init_own(&f);
        c = start(&f, "me", one_task, 1, NULL);
        coordinator_take(c, 0, "run", 0, NULL);
        expect_event(c, COORDINATOR_TAKEN);
        freeReplyObject(RUN(f.redis, "CONFIG", "SET", "maxclients", "1"));
        freeReplyObject(RUN(f.redis, "CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal"));
        coordinator_end(c, 0, "ok");
        e = wait_event(c, COORDINATOR_REDIS_STATE);
        while (!e.text) {
                coordinator_event_done(&e);
                e = wait_event(c, COORDINATOR_REDIS_STATE);
        }
        coordinator_event_done(&e);
        cr_assert(exists(&f, "one", E_KEY));
        freeReplyObject(RUN(f.redis, "CONFIG", "SET", "maxclients", "100"));
        (void) coordinator_free(c, HOUR);
        cr_assert_not(exists(&f, "one", E_KEY));
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
