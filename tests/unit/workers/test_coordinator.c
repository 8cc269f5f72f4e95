/* The coordinator against a real Redis: exclusion, re-assertion, predecessors, pauses. */

#include "tests/unit/workers/coordinator_fixture.h"

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
        _cleanup_fixture_ Fixture f;
        Coordinator *c;

        fixture_init(&f);
        leave_lock_of_the_dead(&f);
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
