/* The eventfd becomes readable once, with the first reason, and is never read: any number of waits see it. */

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "common/cancel.h"
#include "common/clock.h"

struct CancelToken {
        int fd;
        pthread_mutex_t mutex;
        CancelReason reason;
        uint64_t deadline_usec;
};

int cancel_token_new(CancelToken **ret) {
        CancelToken *t;

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->deadline_usec = USEC_INFINITY;
        t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (t->fd < 0) {
                int r = -errno;

                free(t);
                return r;
        }
        (void) pthread_mutex_init(&t->mutex, NULL);
        *ret = t;
        return 0;
}

CancelToken *cancel_token_free(CancelToken *t) {
        if (!t)
                return NULL;
        (void) close_fd(t->fd);
        (void) pthread_mutex_destroy(&t->mutex);
        free(t);
        return NULL;
}

void cancel_token_cancel(CancelToken *t, CancelReason reason) {
        (void) pthread_mutex_lock(&t->mutex);
        if (t->reason == CANCEL_NONE) {
                t->reason = reason;
                (void) eventfd_write(t->fd, 1);
        }
        (void) pthread_mutex_unlock(&t->mutex);
}

void cancel_token_reset(CancelToken *t) {
        eventfd_t unused;

        (void) pthread_mutex_lock(&t->mutex);
        t->reason = CANCEL_NONE;
        t->deadline_usec = USEC_INFINITY;
        (void) eventfd_read(t->fd, &unused);
        (void) pthread_mutex_unlock(&t->mutex);
}

void cancel_token_set_deadline(CancelToken *t, uint64_t monotonic_usec) {
        (void) pthread_mutex_lock(&t->mutex);
        t->deadline_usec = monotonic_usec;
        (void) pthread_mutex_unlock(&t->mutex);
}

uint64_t cancel_token_deadline(CancelToken *t) {
        uint64_t deadline;

        (void) pthread_mutex_lock(&t->mutex);
        deadline = t->deadline_usec;
        (void) pthread_mutex_unlock(&t->mutex);
        return deadline;
}

CancelReason cancel_token_reason(CancelToken *t) {
        CancelReason reason;

        (void) pthread_mutex_lock(&t->mutex);
        reason = t->reason;
        (void) pthread_mutex_unlock(&t->mutex);
        return reason;
}

const char *cancel_reason_to_string(CancelReason reason) {
        switch (reason) {
        case CANCEL_NONE:
                return "not cancelled";
        case CANCEL_DEADLINE:
                return "its deadline (max_run) passed";
        case CANCEL_REQUEST:
                return "cancelled on request";
        case CANCEL_DRAIN:
                return "the worker stops";
        case CANCEL_LOCK:
                return "its lock was lost or could not be confirmed in time";
        case CANCEL_PAUSE:
                return "the task was paused";
        }
        return "?";
}

int cancel_token_fd(CancelToken *t) {
        return t->fd;
}

int cancel_token_check(CancelToken *t) {
        CancelReason reason;

        if (!t)
                return 0;
        if (clock_monotonic_usec() >= cancel_token_deadline(t))
                cancel_token_cancel(t, CANCEL_DEADLINE);
        reason = cancel_token_reason(t);
        if (reason == CANCEL_NONE)
                return 0;
        return reason == CANCEL_DEADLINE ? -ETIMEDOUT : -ECANCELED;
}

/* Milliseconds for poll(2), rounded up so that a wait never ends just before its instant. */
static int poll_msec(uint64_t until_usec) {
        uint64_t now, msec;

        if (until_usec == USEC_INFINITY)
                return -1;
        now = clock_monotonic_usec();
        if (until_usec <= now)
                return 0;
        msec = (until_usec - now + 999) / 1000;
        return msec > INT32_MAX ? INT32_MAX : (int) msec;
}

int cancel_token_poll(CancelToken *t, int fd, short events, uint64_t timeout_usec) {
        uint64_t timeout = USEC_INFINITY;
        int r;

        if (timeout_usec != USEC_INFINITY && __builtin_add_overflow(clock_monotonic_usec(), timeout_usec, &timeout))
                timeout = USEC_INFINITY;
        for (;;) {
                /* poll ignores entries with a negative fd */
                struct pollfd p[2] = {
                        { .fd = fd, .events = events },
                        { .fd = t ? t->fd : -1, .events = POLLIN },
                };
                uint64_t deadline, until;

                r = cancel_token_check(t);
                if (r < 0)
                        return r;
                /* read anew each turn: task_progress() may have moved it on */
                deadline = t ? cancel_token_deadline(t) : USEC_INFINITY;
                until = deadline < timeout ? deadline : timeout;
                r = poll(p, 2, poll_msec(until));
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r > 0 && p[0].revents)
                        return p[0].revents;
                if (timeout != USEC_INFINITY && clock_monotonic_usec() >= timeout) {
                        r = cancel_token_check(t);
                        return r;
                }
        }
}
