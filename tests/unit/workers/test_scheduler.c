/* The state machine of a worker's tasks, with injected instants and randomness. */

#include <criterion/criterion.h>

#include "workers/scheduler.h"

#define SEC USEC_PER_SEC
#define MS USEC_PER_MSEC

static double fraction;

static double injected(void *userdata) {
        (void) userdata;
        return fraction;
}

static Scheduler *make(unsigned slots, size_t n, const SchedulerTask *tasks) {
        SchedulerOptions o = {
                .slots = slots, .jitter_fraction = 0.01, .random = injected, .tasks = tasks, .n_tasks = n
        };
        Scheduler *s = NULL;

        fraction = 0;
        cr_assert_eq(scheduler_new(&o, &s), 0);
        return s;
}

#define EXPECT(s, now, type_, task_)                                                                                   \
        ({                                                                                                             \
                SchedulerAction _a;                                                                                    \
                cr_assert(scheduler_next(s, now, &_a), "an action is due");                                            \
                cr_assert_eq(_a.type, type_);                                                                          \
                cr_assert_eq(_a.task, (size_t) (task_));                                                               \
                _a;                                                                                                    \
        })
#define NOTHING(s, now)                                                                                                \
        do {                                                                                                           \
                SchedulerAction _n;                                                                                    \
                cr_assert_not(scheduler_next(s, now, &_n));                                                            \
        } while (0)

static const SchedulerTask three_short[] = {
        { .name = "a", .class = TASK_SHORT, .enabled = true },
        { .name = "b", .class = TASK_SHORT, .enabled = true },
        { .name = "c", .class = TASK_SHORT, .enabled = true },
};

static void start(Scheduler *s, size_t task, uint64_t now) {
        (void) EXPECT(s, now, SCHEDULER_TAKE, task);
        scheduler_taken(s, task);
        cr_assert(EXPECT(s, now, SCHEDULER_RUN, task).first);
}

Test(scheduler, waits_as_the_worked_examples_say) {
        /* example B: PTTL 28749, U 0.5: 28894 ms; PTTL 29500, U 0: 29501 ms */
        cr_assert_eq(scheduler_wait_usec(28749 * MS, 0.01, 0.5), 28894 * MS);
        cr_assert_eq(scheduler_wait_usec(29500 * MS, 0.01, 0), 29501 * MS);
        cr_assert_eq(scheduler_wait_usec(0, 0.01, 0.5), 0);
        /* thirty days do not overflow */
        cr_assert_eq(scheduler_wait_usec(30 * 86400 * SEC, 0, 0.5), 30 * 86400 * SEC + MS);
}

Test(scheduler, an_undisturbed_loop) {
        Scheduler *s = make(2, 1, three_short);

        start(s, 0, 0);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_RUNNING);
        scheduler_returned(s, 0, false);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_ENDING);
        cr_assert_not(EXPECT(s, 1250 * MS, SCHEDULER_END, 0).cancelled);
        cr_assert_not(scheduler_idle(s));
        fraction = 0.5;
        scheduler_ended(s, 0, 28749 * MS, 1251 * MS);
        cr_assert(scheduler_idle(s));
        cr_assert_eq(scheduler_due_usec(s), (1251 + 28894) * MS);
        NOTHING(s, 30144 * MS);
        (void) EXPECT(s, 30145 * MS, SCHEDULER_TAKE, 0);
        (void) scheduler_free(s);
}

/* Example C: a run longer than its interval is started again at once, its R is gone. */
Test(scheduler, a_run_longer_than_its_interval_is_due_at_its_end) {
        Scheduler *s = make(2, 1, three_short);

        start(s, 0, 0);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 100 * SEC, SCHEDULER_END, 0);
        scheduler_ended(s, 0, 0, 100 * SEC);
        (void) EXPECT(s, 100 * SEC, SCHEDULER_TAKE, 0);
        scheduler_not_taken(s, 0, 119700 * MS, false, 100 * SEC);
        cr_assert_eq(scheduler_due_usec(s), 100 * SEC + 119701 * MS);
        (void) scheduler_free(s);
}

/* Example D, mended: exactly as many as there are slots, told once, first come first served. */
Test(scheduler, admits_exactly_as_many_as_slots) {
        Scheduler *s = make(2, 3, three_short);

        start(s, 0, 0);
        start(s, 1, 0);
        (void) EXPECT(s, 0, SCHEDULER_CAPPED, 2);
        NOTHING(s, 0);
        cr_assert_eq(scheduler_state(s, 2), TASK_STATE_QUEUED);
        cr_assert_not(scheduler_has_lock(s, 2), "no lock is held while it waits for a slot");
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 1, SCHEDULER_END, 0);
        (void) EXPECT(s, 1, SCHEDULER_TAKE, 2);
        NOTHING(s, 1);
        (void) scheduler_free(s);
}

Test(scheduler, a_slot_is_reserved_before_the_lock_is_taken_and_given_back) {
        Scheduler *s = make(1, 2, three_short);

        (void) EXPECT(s, 0, SCHEDULER_TAKE, 0);
        (void) EXPECT(s, 0, SCHEDULER_CAPPED, 1);
        NOTHING(s, 0);
        scheduler_not_taken(s, 0, 5 * SEC, false, 0);
        (void) EXPECT(s, 0, SCHEDULER_TAKE, 1);
        (void) scheduler_free(s);
}

Test(scheduler, keeps_a_slot_for_short_tasks) {
        static const SchedulerTask tasks[] = {
                { .class = TASK_LONG, .enabled = true },
                { .class = TASK_LONG, .enabled = true },
                { .class = TASK_SHORT, .enabled = true },
        };
        Scheduler *s = make(2, 3, tasks);

        start(s, 0, 0);
        start(s, 2, 0); /* overtakes the second long one */
        (void) EXPECT(s, 0, SCHEDULER_CAPPED, 1);
        scheduler_returned(s, 2, false);
        (void) EXPECT(s, 1, SCHEDULER_END, 2);
        NOTHING(s, 1);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 2, SCHEDULER_END, 0);
        (void) EXPECT(s, 2, SCHEDULER_TAKE, 1);
        (void) scheduler_free(s);
}

Test(scheduler, with_one_slot_it_is_first_in_first_out) {
        static const SchedulerTask tasks[] = {
                { .class = TASK_SHORT, .enabled = true },
                { .class = TASK_LONG, .enabled = true, .start_delay_usec = 1 },
                { .class = TASK_SHORT, .enabled = true, .start_delay_usec = 2 },
        };
        Scheduler *s = make(1, 3, tasks);

        start(s, 0, 0);
        (void) EXPECT(s, 5, SCHEDULER_CAPPED, 1);
        (void) EXPECT(s, 5, SCHEDULER_CAPPED, 2);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 6, SCHEDULER_END, 0);
        (void) EXPECT(s, 6, SCHEDULER_TAKE, 1);
        (void) scheduler_free(s);
}

Test(scheduler, a_chain_queues_behind_those_waiting_and_keeps_its_lock) {
        Scheduler *s = make(1, 2, three_short);

        start(s, 0, 0);
        (void) EXPECT(s, 0, SCHEDULER_CAPPED, 1);
        scheduler_returned(s, 0, true);
        cr_assert(scheduler_has_lock(s, 0));
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_QUEUED);
        start(s, 1, 1);
        NOTHING(s, 1);
        scheduler_returned(s, 1, false);
        (void) EXPECT(s, 2, SCHEDULER_END, 1);
        cr_assert_not(EXPECT(s, 2, SCHEDULER_RUN, 0).first, "the same run goes on");
        scheduler_returned(s, 0, false);
        cr_assert_not(EXPECT(s, 3, SCHEDULER_END, 0).cancelled);
        (void) scheduler_free(s);
}

Test(scheduler, between_slices_cancel_pause_and_drain_take_effect) {
        for (int what = 0; what < 6; what++) {
                Scheduler *s = make(1, 2, three_short);
                bool body = false;

                start(s, 0, 0);
                (void) EXPECT(s, 0, SCHEDULER_CAPPED, 1);
                if (what < 3) /* while queued */
                        scheduler_returned(s, 0, true);
                if (what % 3 == 0)
                        cr_assert_eq(scheduler_cancel(s, 0, &body), SCHEDULER_OK);
                else if (what % 3 == 1)
                        scheduler_paused(s, 0);
                else
                        scheduler_drain(s);
                cr_assert_eq(body, what == 3);
                if (what >= 3) /* while its body ran: that slice is finished */
                        scheduler_returned(s, 0, true);
                cr_assert(EXPECT(s, 1, SCHEDULER_END, 0).cancelled);
                scheduler_ended(s, 0, SEC, 1);
                cr_assert_not(scheduler_has_lock(s, 0));
                (void) scheduler_free(s);
        }
}

Test(scheduler, start_delay_holds_once) {
        static const SchedulerTask tasks[] = { { .class = TASK_SHORT, .enabled = true, .start_delay_usec = 90 * SEC } };
        Scheduler *s = make(1, 1, tasks);

        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_DELAYED);
        cr_assert_eq(scheduler_due_usec(s), 90 * SEC);
        NOTHING(s, 90 * SEC - 1);
        (void) EXPECT(s, 90 * SEC, SCHEDULER_TAKE, 0);
        scheduler_not_taken(s, 0, SEC, false, 90 * SEC);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_WAITING);
        (void) scheduler_free(s);
}

Test(scheduler, paused_tasks_look_up_and_resume_at_once) {
        Scheduler *s = make(1, 1, three_short);

        (void) EXPECT(s, 0, SCHEDULER_TAKE, 0);
        scheduler_not_taken(s, 0, 0, true, 0);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_PAUSED);
        cr_assert_eq(scheduler_trigger(s, 0, false, SEC), SCHEDULER_IS_PAUSED);
        NOTHING(s, SEC);
        scheduler_resumed(s, 0, 2 * SEC, SEC);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_WAITING);
        cr_assert_eq(scheduler_due_usec(s), 3 * SEC + MS);
        scheduler_paused(s, 0);
        cr_assert_eq(scheduler_trigger(s, 0, true, SEC), SCHEDULER_OK);
        cr_assert(EXPECT(s, SEC, SCHEDULER_TAKE, 0).ignore_pause);
        (void) scheduler_free(s);
}

Test(scheduler, a_trigger_is_due_now_and_ignores_r_once) {
        Scheduler *s = make(1, 1, three_short);
        bool body;

        (void) EXPECT(s, 0, SCHEDULER_TAKE, 0);
        scheduler_not_taken(s, 0, 30 * SEC, false, 0);
        cr_assert_eq(scheduler_cancel(s, 0, &body), SCHEDULER_NOT_RUNNING);
        cr_assert_eq(scheduler_trigger(s, 0, false, SEC), SCHEDULER_OK);
        SchedulerAction a = EXPECT(s, SEC, SCHEDULER_TAKE, 0);
        cr_assert(a.force && !a.ignore_pause);
        scheduler_not_taken(s, 0, SEC, false, SEC);
        cr_assert_not(EXPECT(s, 3 * SEC, SCHEDULER_TAKE, 0).force);
        (void) scheduler_free(s);
}

Test(scheduler, a_trigger_while_the_lock_is_asked_for_is_not_lost) {
        Scheduler *s = make(1, 1, three_short);

        /* refused: asked again at once, past R */
        cr_assert_not(EXPECT(s, 0, SCHEDULER_TAKE, 0).force);
        cr_assert_eq(scheduler_trigger(s, 0, false, 0), SCHEDULER_OK);
        scheduler_not_taken(s, 0, 60 * SEC, false, 1 * SEC);
        cr_assert(EXPECT(s, 1 * SEC, SCHEDULER_TAKE, 0).force);
        /* a trigger's own take that is refused is the answer to a second trigger, too */
        cr_assert_eq(scheduler_trigger(s, 0, false, 1 * SEC), SCHEDULER_OK);
        scheduler_not_taken(s, 0, 60 * SEC, false, 2 * SEC);
        NOTHING(s, 2 * SEC);

        /* taken: that is the run */
        cr_assert_not(EXPECT(s, 70 * SEC, SCHEDULER_TAKE, 0).force);
        cr_assert_eq(scheduler_trigger(s, 0, true, 70 * SEC), SCHEDULER_OK);
        scheduler_taken(s, 0);
        (void) EXPECT(s, 70 * SEC, SCHEDULER_RUN, 0);
        cr_assert_eq(scheduler_trigger(s, 0, true, 70 * SEC), SCHEDULER_BUSY);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 71 * SEC, SCHEDULER_END, 0);
        scheduler_ended(s, 0, 60 * SEC, 71 * SEC);
        NOTHING(s, 71 * SEC);

        /* paused meanwhile: only with force */
        (void) EXPECT(s, 140 * SEC, SCHEDULER_TAKE, 0);
        cr_assert_eq(scheduler_trigger(s, 0, false, 140 * SEC), SCHEDULER_OK);
        scheduler_not_taken(s, 0, 0, true, 140 * SEC);
        NOTHING(s, 140 * SEC);
        (void) EXPECT(s, 160 * SEC, SCHEDULER_TAKE, 0);
        cr_assert_eq(scheduler_trigger(s, 0, true, 160 * SEC), SCHEDULER_OK);
        scheduler_not_taken(s, 0, 0, true, 160 * SEC);
        cr_assert(EXPECT(s, 160 * SEC, SCHEDULER_TAKE, 0).ignore_pause);
        (void) scheduler_free(s);
}

Test(scheduler, a_trigger_while_a_run_ends_is_another_run) {
        Scheduler *s = make(1, 1, three_short);

        start(s, 0, 0);
        scheduler_returned(s, 0, false);
        cr_assert_eq(scheduler_trigger(s, 0, false, 1 * SEC), SCHEDULER_OK);
        (void) EXPECT(s, 1 * SEC, SCHEDULER_END, 0);
        cr_assert_eq(scheduler_trigger(s, 0, true, 1 * SEC), SCHEDULER_OK);
        cr_assert_eq(scheduler_trigger(s, 0, false, 1 * SEC), SCHEDULER_OK);
        scheduler_ended(s, 0, 60 * SEC, 2 * SEC);
        cr_assert(EXPECT(s, 2 * SEC, SCHEDULER_TAKE, 0).ignore_pause, "one of them insisted");
        scheduler_taken(s, 0);
        (void) EXPECT(s, 2 * SEC, SCHEDULER_RUN, 0);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 3 * SEC, SCHEDULER_END, 0);
        scheduler_ended(s, 0, 60 * SEC, 3 * SEC);
        NOTHING(s, 3 * SEC);

        /* paused while it ends: only with force */
        start(s, 0, 70 * SEC);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 70 * SEC, SCHEDULER_END, 0);
        cr_assert_eq(scheduler_trigger(s, 0, false, 70 * SEC), SCHEDULER_OK);
        scheduler_paused(s, 0);
        cr_assert_eq(scheduler_trigger(s, 0, false, 70 * SEC), SCHEDULER_IS_PAUSED);
        scheduler_ended(s, 0, 60 * SEC, 71 * SEC);
        NOTHING(s, 71 * SEC);
        (void) scheduler_free(s);
}

Test(scheduler, a_disabled_task_never_runs) {
        static const SchedulerTask tasks[] = { { .class = TASK_SHORT } };
        Scheduler *s = make(1, 1, tasks);

        NOTHING(s, 1000 * SEC);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_DISABLED);
        cr_assert_eq(scheduler_trigger(s, 0, true, 0), SCHEDULER_DISABLED);
        cr_assert_eq(scheduler_due_usec(s), USEC_INFINITY);
        (void) scheduler_free(s);
}

Test(scheduler, quarantine_ends_by_itself) {
        static const SchedulerTask tasks[] = {
                { .class = TASK_SHORT, .enabled = true, .quarantined_until_usec = 60 * SEC }
        };
        Scheduler *s = make(1, 1, tasks);

        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_QUARANTINED);
        cr_assert_eq(scheduler_trigger(s, 0, true, SEC), SCHEDULER_IS_QUARANTINED);
        NOTHING(s, 60 * SEC - 1);
        (void) EXPECT(s, 60 * SEC, SCHEDULER_TAKE, 0);
        scheduler_not_taken(s, 0, SEC, false, 60 * SEC);
        cr_assert_eq(scheduler_state(s, 0), TASK_STATE_WAITING);
        (void) scheduler_free(s);
}

Test(scheduler, a_drain_gives_up_takes_and_lets_bodies_finish) {
        Scheduler *s = make(2, 3, three_short);

        start(s, 0, 0);
        (void) EXPECT(s, 0, SCHEDULER_TAKE, 1);
        (void) EXPECT(s, 0, SCHEDULER_CAPPED, 2);
        scheduler_drain(s);
        (void) EXPECT(s, 0, SCHEDULER_ABANDON, 1);
        NOTHING(s, 100 * SEC);
        cr_assert_eq(scheduler_trigger(s, 2, true, 0), SCHEDULER_DRAINING);
        cr_assert_not(scheduler_idle(s));
        /* it had been taken when the abandon came: released without a run */
        scheduler_taken(s, 1);
        cr_assert(EXPECT(s, 0, SCHEDULER_END, 1).cancelled);
        scheduler_ended(s, 1, 0, 0);
        scheduler_returned(s, 0, false);
        (void) EXPECT(s, 0, SCHEDULER_END, 0);
        scheduler_ended(s, 0, 0, 0);
        cr_assert(scheduler_idle(s));
        cr_assert_eq(scheduler_due_usec(s), USEC_INFINITY);
        NOTHING(s, 1000 * SEC);
        (void) scheduler_free(s);
}

Test(scheduler, a_held_lock_without_time_to_live_does_not_spin) {
        Scheduler *s = make(1, 1, three_short);

        (void) EXPECT(s, 0, SCHEDULER_TAKE, 0);
        scheduler_not_taken(s, 0, 0, false, 0);
        NOTHING(s, 10 * MS);
        (void) EXPECT(s, 11 * MS, SCHEDULER_TAKE, 0);
        (void) scheduler_free(s);
}
