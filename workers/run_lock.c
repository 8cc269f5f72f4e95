/* Locks of a foreground run. What must stay true: a COMMIT starts only while the last confirmed renewal, counted from
 * the moment it was sent, leaves a third of the lock's life (at most 10 s). */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "workers/run_lock.h"

#define RENEW_MAX_USEC (5 * USEC_PER_SEC)
#define MARGIN_MAX_USEC (10 * USEC_PER_SEC)
#define COMMAND_MAX_USEC (2 * USEC_PER_SEC)
#define RETRY_USEC (200 * USEC_PER_MSEC)

struct RunLock {
        LockIdentity identity;
        LockTask task;
        char *service, *host, *family, *name, *run_id;
        char instance[UUID_TEXT_SIZE], uuid[UUID_TEXT_SIZE];
        unsigned flags;
        RedisConn *redis;  /* the main thread's before the start and after the join of the renewing thread */
        RedisConn *asking; /* the main thread's: pauses */
        uint64_t ttl_usec;
        int64_t started_usec;
        bool preview;
        uint64_t left_usec; /* what was left of our own interval when the lock was taken */
        CancelToken *stop, *run;
        pthread_t thread;
        bool held, renewing;
        _Atomic uint64_t safe_until; /* monotonic */
};

static uint64_t least(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t safe_until(const RunLock *l, uint64_t sent_usec) {
        return sent_usec + l->ttl_usec - least(l->ttl_usec / 3, MARGIN_MAX_USEC);
}

int run_lock_new(const RunLockOptions *options, RunLock **ret, Error *reterr) {
        _cleanup_(run_lock_freep) RunLock *l = calloc(1, sizeof(*l));
        uint64_t timeout;
        int r;

        if (!l)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a lock");
        l->service = strdup(options->service);
        l->host = strdup(options->host);
        l->family = strdup(options->family);
        l->name = strdup(options->task.task);
        l->run_id = strdup(options->run_id);
        if (!l->service || !l->host || !l->family || !l->name || !l->run_id || cancel_token_new(&l->stop) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a lock");
        (void) random_uuid(l->instance);
        l->identity = (LockIdentity){ l->service, l->host, l->family, l->instance };
        l->task = options->task;
        l->task.task = l->name;
        l->flags = options->force ? LOCK_IGNORE_R : 0;
        l->preview = options->preview;
        /* where the original has no E for the task, R alone keeps it away, and it must not run out either */
        l->ttl_usec = l->task.original_extended ? l->task.extended_ttl_usec
                                                : least(l->task.extended_ttl_usec, l->task.interval_usec);
        timeout = least(COMMAND_MAX_USEC, l->ttl_usec / 4 + 50 * USEC_PER_MSEC);
        r = redis_conn_new(options->redis_url, "roundtable/run", timeout, NULL, NULL, &l->redis, reterr);
        if (r >= 0)
                r = redis_conn_new(options->redis_url, "roundtable/run", timeout, NULL, NULL, &l->asking, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static void *renew_thread(void *userdata) {
        RunLock *l = userdata;
        uint64_t pause = least(l->ttl_usec / 3, RENEW_MAX_USEC);

        for (;;) {
                LockRenewOutcome outcome = LOCK_LOST;
                _cleanup_error_ Error e = ERROR_INIT;
                uint64_t sent;
                int r;

                if (cancel_token_poll(l->stop, -1, 0, pause) < 0)
                        return NULL;
                sent = clock_monotonic_usec();
                r = lock_renew(l->redis, &l->identity, &l->task, l->uuid, l->run_id, l->started_usec, l->stop, &outcome,
                               &e);
                if (cancel_token_check(l->stop) < 0)
                        return NULL;
                if (r >= 0 && outcome == LOCK_LOST) {
                        atomic_store(&l->safe_until, 0);
                        cancel_token_cancel(l->run, CANCEL_LOCK);
                        return NULL;
                }
                if (r >= 0 && clock_monotonic_usec() < atomic_load(&l->safe_until))
                        atomic_store(&l->safe_until, safe_until(l, sent));
                else if (clock_monotonic_usec() >= atomic_load(&l->safe_until)) {
                        /* too late, for good: the run is over even if Redis comes back. Renewing goes on, so that
                         * nobody starts before it has ended */
                        atomic_store(&l->safe_until, 0);
                        cancel_token_cancel(l->run, CANCEL_LOCK);
                }
                pause = r < 0 ? RETRY_USEC : least(l->ttl_usec / 3, RENEW_MAX_USEC);
        }
}

static int start_thread(RunLock *l) {
        sigset_t all, old;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&l->thread, NULL, renew_thread, l);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r == 0)
                l->renewing = true;
        return -r;
}

/* R is ours when the run hash says so: then only the interval since our last run is not over, and a person who asks for
 * a run need not wait for it. */
static bool is_own_interval(const LockTakeResult *result) {
        return result->outcome == LOCK_HELD_R && result->holder_kind == LOCK_HOLDER_INTERVAL;
}

static int take(RunLock *l, unsigned flags, CancelToken *token, LockTakeResult *ret, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        int r, err;

        r = lock_take(l->redis, &l->identity, &l->task, l->uuid, l->run_id, flags, token, ret, &e);
        if (r >= 0)
                return r;
        err = e.err < 0 ? e.err : r;
        /* its answer may have been lost on the way */
        if (e.kind == ERROR_UNCERTAIN || e.kind == ERROR_CANCELED)
                (void) lock_undo(l->redis, &l->identity, &l->task, l->uuid, NULL, NULL);
        if (reterr)
                error_move(reterr, &e);
        return err;
}

int run_lock_take(RunLock *l, CancelToken *token, LockTakeResult *ret, Error *reterr) {
        uint64_t sent = clock_monotonic_usec();
        LockTakeResult result = { 0 };
        int r;

        (void) random_uuid(l->uuid);
        l->left_usec = 0;
        r = take(l, l->flags, token, &result, reterr);
        if (r >= 0 && is_own_interval(&result)) {
                l->left_usec = result.wait_usec;
                lock_take_result_done(&result);
                result = (LockTakeResult){ 0 };
                sent = clock_monotonic_usec();
                r = take(l, l->flags | LOCK_IGNORE_R, token, &result, reterr);
        }
        if (r < 0)
                return r;
        if (result.outcome == LOCK_TAKEN) {
                l->held = true;
                l->run = token;
                l->started_usec = result.started_usec;
                atomic_store(&l->safe_until, safe_until(l, sent));
                r = start_thread(l);
                if (r < 0) {
                        lock_take_result_done(&result);
                        return error_set(reterr, ERROR_RETRY, r, "cannot start the thread that renews the lock: %s",
                                         strerror(-r));
                }
        }
        *ret = result;
        return 0;
}

char *run_lock_look_up_pause(RunLock *l, CancelToken *token) {
        char *text = NULL;

        if (lock_keep_paused(l->asking, &l->identity, &l->task, 1, token, &text, NULL) < 0)
                return NULL;
        return text;
}

bool run_lock_may_commit(RunLock *l) {
        return clock_monotonic_usec() < atomic_load(&l->safe_until);
}

int run_lock_end(RunLock *l, const char *result, Error *reterr) {
        LockTask task = l->task;
        uint64_t wait;

        /* the next real run is due when it was before */
        if (l->preview)
                task.interval_usec = l->left_usec;
        if (l->renewing) {
                cancel_token_cancel(l->stop, CANCEL_REQUEST);
                (void) pthread_join(l->thread, NULL);
                l->renewing = false;
        }
        if (!l->held)
                return 0;
        l->held = false;
        return lock_end(l->redis, &l->identity, &task, l->uuid, result, NULL, &wait, reterr);
}

RunLock *run_lock_free(RunLock *l) {
        if (!l)
                return NULL;
        /* failing that, the locks run out by themselves */
        (void) run_lock_end(l, "abandoned", NULL);
        l->redis = redis_conn_free(l->redis);
        l->asking = redis_conn_free(l->asking);
        l->stop = cancel_token_free(l->stop);
        free(l->service);
        free(l->host);
        free(l->family);
        free(l->name);
        free(l->run_id);
        free(l);
        return NULL;
}
