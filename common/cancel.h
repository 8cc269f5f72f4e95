#pragma once

/* A cancel token: how one thread asks another one's waits to end. Every blocking client call takes one and polls its
 * descriptor beside the socket, so a frozen server never holds a run past its deadline.
 *
 * Thread-safety: cancel_token_cancel() and the deadline calls may come from any thread; the poll calls from the thread
 * that runs the task. */

#include "common/util.h"

typedef enum CancelReason {
        CANCEL_NONE,
        CANCEL_DEADLINE, /* max_run passed */
        CANCEL_REQUEST,  /* an operator asked */
        CANCEL_DRAIN,    /* the worker stops */
        CANCEL_LOCK,     /* the lock was lost or could not be confirmed in time */
        CANCEL_PAUSE,
} CancelReason;

typedef struct CancelToken CancelToken;

/* Returns 0 or -errno (no descriptors, no memory). */
int cancel_token_new(CancelToken **ret);
CancelToken *cancel_token_free(CancelToken *t);
DEFINE_CLEANUP(CancelToken, cancel_token_free)
#define _cleanup_cancel_token_ _cleanup_(cancel_token_freep)

/* The first reason wins. */
void cancel_token_cancel(CancelToken *t, CancelReason reason);
/* Makes the token fresh again for the next run of a slot. Only while nobody waits on it. */
void cancel_token_reset(CancelToken *t);
/* Monotonic instant; USEC_INFINITY for none. Waits end there with -ETIMEDOUT and the token is cancelled
 * with CANCEL_DEADLINE. */
void cancel_token_set_deadline(CancelToken *t, uint64_t monotonic_usec);
uint64_t cancel_token_deadline(CancelToken *t);
CancelReason cancel_token_reason(CancelToken *t);
const char *cancel_reason_to_string(CancelReason reason);
/* Becomes readable when cancelled and stays so. Borrowed; for curl_multi_poll and the like. */
int cancel_token_fd(CancelToken *t);

/* 0, -ECANCELED or -ETIMEDOUT (deadline). A NULL token is never cancelled. */
int cancel_token_check(CancelToken *t);

/* Waits until fd (or, with fd < 0, nothing) has `events`, the token is cancelled, its deadline passes or timeout_usec
 * (USEC_INFINITY: none) is over. Returns the revents (> 0), 0 when timeout_usec passed, -ECANCELED or
 * -ETIMEDOUT (deadline), or another -errno. A NULL token waits for the rest. */
int cancel_token_poll(CancelToken *t, int fd, short events, uint64_t timeout_usec);
