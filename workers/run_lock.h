#pragma once

/* The locks of one foreground run: taken as in the service and renewed by a small thread of their own. */

#include "common/lock.h"
#include "common/settings.h"

typedef struct RunLock RunLock;

typedef struct RunLockOptions {
        const char *redis_url;
        const char *service, *host, *family; /* copied */
        const char *run_id;
        LockTask task;
        bool force;   /* go ahead past R */
        bool preview; /* nothing is done: the interval stays what it was before */
} RunLockOptions;

/* No I/O. */
int run_lock_new(const RunLockOptions *options, RunLock **ret, Error *reterr);
/* Stops renewing and, if they are held, gives the locks up as those of an abandoned run. */
RunLock *run_lock_free(RunLock *l);
DEFINE_CLEANUP(RunLock, run_lock_free)

/* One attempt. ret->outcome other than LOCK_TAKEN says who is in the way. When taken, the renewing thread runs and
 * cancels `token` (which must outlive the lock) with CANCEL_LOCK when the lock is lost or not confirmed in time. */
int run_lock_take(RunLock *l, CancelToken *token, LockTakeResult *ret, Error *reterr);
/* Whether somebody has paused the task meanwhile: who, where and why (new string), else NULL, also when Redis cannot be
 * asked: whether the lock still counts is another matter. While it is paused, R is kept up for originals to see. */
char *run_lock_look_up_pause(RunLock *l, CancelToken *token);
/* Any thread: whether a COMMIT may start now. */
bool run_lock_may_commit(RunLock *l);
/* Stops renewing and releases. result as for lock_end(). */
int run_lock_end(RunLock *l, const char *result, Error *reterr);
