#pragma once

/* The coordinator thread: takes, renews and releases locks and looks up pauses over a Redis connection of its own
 * (blocking, 2 s time-outs), so that neither the event loop nor a task ever waits for it. It answers the main thread by
 * an eventfd and a queue of events. Lock commands are never queued while Redis is away: a take that cannot be sent is
 * tried again with fresh times after the reconnect delay (runtime 9.2), a run whose lock is not confirmed in time is
 * cancelled through its token.
 *
 * Calls are made by the main thread, but for coordinator_may_commit(). Tasks are named by their index in the table
 * given to coordinator_new. */

#include "common/cancel.h"
#include "common/lock.h"
#include "common/metrics.h"

typedef struct Coordinator Coordinator;

typedef struct CoordinatorOptions {
        const char *redis_url;
        LockIdentity identity; /* copied */
        const LockTask *tasks; /* copied */
        size_t n_tasks;
        const char *const *dead_instances; /* predecessors, what locks they left is cleared before the first take */
        size_t n_dead;
        uint64_t reconnect_delay_usec;
        uint64_t command_timeout_usec;      /* of one exchange; 0: 2 s */
        uint64_t reconnect_error_threshold; /* failed attempts of one outage, after which it is an error in the log */
        Metrics *metrics; /* borrowed; NULL: none. Failed attempts are sent as redis.connection_retries */
} CoordinatorOptions;

typedef enum CoordinatorEventType {
        COORDINATOR_TAKEN,       /* run_id holds its locks; the main thread must queue the run */
        COORDINATOR_NOT_TAKEN,   /* outcome says why; wait_usec until it makes sense to try again */
        COORDINATOR_CANCEL,      /* the run's lock was lost or not confirmed; its token was cancelled already */
        COORDINATOR_ENDED,       /* locks released; wait_usec: what is left of R */
        COORDINATOR_REDIS_STATE, /* text NULL: reachable; else why not. One event per change */
        COORDINATOR_PAUSED,      /* the task is (still) paused by somebody; text: who and why */
        COORDINATOR_RESUMED,
        COORDINATOR_DONE, /* answer to pause, resume and fleet requests: serial, error text or NULL, document */
} CoordinatorEventType;

typedef struct CoordinatorEvent {
        CoordinatorEventType type;
        size_t task;
        LockOutcome outcome;
        uint64_t wait_usec;
        bool by_hand; /* NOT_TAKEN: nothing but the deletion of the key that `text` names helps */
        uint64_t serial;
        char *text;       /* owned by the event; coordinator_event_done() */
        json_t *document; /* owned */
} CoordinatorEvent;
void coordinator_event_done(CoordinatorEvent *e);

/* Starts the thread (all signals blocked in it). No I/O is waited for. */
int coordinator_new(const CoordinatorOptions *options, Coordinator **ret);
/* Stops the thread; ends what is still held (deleting E, and R if the task did not complete) within timeout_usec. */
Coordinator *coordinator_free(Coordinator *c, uint64_t timeout_usec);

int coordinator_fd(Coordinator *c);                           /* poll for POLLIN */
bool coordinator_next(Coordinator *c, CoordinatorEvent *ret); /* false: none */

/* One outstanding request per task. `token` is cancelled when the lock is lost; it must outlive the run. */
void coordinator_take(Coordinator *c, size_t task, const char *run_id, unsigned flags, CancelToken *token);
/* Gives up a take that is still being tried (Redis away). NOT_TAKEN follows with outcome LOCK_NOT_ASKED, wait_usec 0
 * and no text, unless the answer was in the queue before: a TAKEN must still be ended. */
void coordinator_abandon(Coordinator *c, size_t task);
/* result: "ok", "failed", "cancelled". The token is the caller's again when this returns. ENDED follows always; while
 * Redis is away at once, with wait_usec by our own clock, and the lock is released at the next contact. A CANCEL that
 * was in the queue before may still come out after this call. */
void coordinator_end(Coordinator *c, size_t task, const char *result);
/* Any thread: whether the task's lock is confirmed so that a COMMIT may start now. */
bool coordinator_may_commit(Coordinator *c, size_t task);

/* Answered by DONE with the returned serial. tasks: indices. */
uint64_t coordinator_pause(Coordinator *c, const size_t *tasks, size_t n, const char *who, const char *reason,
                           uint64_t until_usec);
uint64_t coordinator_resume(Coordinator *c, const size_t *tasks, size_t n, const char *who);
uint64_t coordinator_fleet(Coordinator *c);
/* New settings for a task's intervals are given by restarting the worker; there is no call for it. */
