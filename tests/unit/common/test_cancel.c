/* Cancel tokens: who wakes whom, and which reason wins. */

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>

#include "common/cancel.h"
#include "common/clock.h"

static void *cancel_from_elsewhere(void *userdata) {
        cancel_token_cancel(userdata, CANCEL_REQUEST);
        return NULL;
}

Test(cancel, wakes_a_wait_in_another_thread) {
        _cleanup_cancel_token_ CancelToken *t = NULL;
        pthread_t thread;

        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(pthread_create(&thread, NULL, cancel_from_elsewhere, t), 0);
        cr_assert_eq(cancel_token_poll(t, -1, 0, USEC_INFINITY), -ECANCELED);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(cancel_token_reason(t), CANCEL_REQUEST);
}

Test(cancel, first_reason_wins_and_stays) {
        _cleanup_cancel_token_ CancelToken *t = NULL;

        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(cancel_token_check(t), 0);
        cancel_token_cancel(t, CANCEL_LOCK);
        cancel_token_cancel(t, CANCEL_DRAIN);
        cr_assert_eq(cancel_token_reason(t), CANCEL_LOCK);
        cr_assert_eq(cancel_token_check(t), -ECANCELED);
        cr_assert_eq(cancel_token_check(t), -ECANCELED);
}

Test(cancel, deadline_ends_a_wait) {
        _cleanup_cancel_token_ CancelToken *t = NULL;

        cr_assert_eq(cancel_token_new(&t), 0);
        cancel_token_set_deadline(t, clock_monotonic_usec() + 1000);
        cr_assert_eq(cancel_token_poll(t, -1, 0, USEC_INFINITY), -ETIMEDOUT);
        cr_assert_eq(cancel_token_reason(t), CANCEL_DEADLINE);
}

Test(cancel, timeout_of_one_wait_is_not_the_deadline) {
        _cleanup_cancel_token_ CancelToken *t = NULL;

        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(cancel_token_poll(t, -1, 0, 500), 0);
        cr_assert_eq(cancel_token_check(t), 0);
}

Test(cancel, ready_descriptor_ends_a_wait) {
        _cleanup_cancel_token_ CancelToken *t = NULL;
        int fds[2];

        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(pipe(fds), 0);
        cr_assert_eq(write(fds[1], "x", 1), 1);
        cr_assert_eq(cancel_token_poll(t, fds[0], POLLIN, USEC_INFINITY), POLLIN);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

Test(cancel, reset_makes_it_fresh) {
        _cleanup_cancel_token_ CancelToken *t = NULL;

        cr_assert_eq(cancel_token_new(&t), 0);
        cancel_token_cancel(t, CANCEL_DRAIN);
        cancel_token_reset(t);
        cr_assert_eq(cancel_token_check(t), 0);
        cr_assert_eq(cancel_token_poll(t, -1, 0, 500), 0);
}

Test(cancel, null_token_is_never_cancelled) {
        cr_assert_eq(cancel_token_check(NULL), 0);
        cr_assert_eq(cancel_token_poll(NULL, -1, 0, 500), 0);
}
