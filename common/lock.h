#pragma once

/* The locks of design section 5: one Lua script per operation, times by the Redis server's clock. Pure calls over a
 * RedisConn; the coordinator thread decides when. Keys (S = service_name):
 *   R  S.loops.<task>.task_timeouts            "TIMEOUT NOT EXPIRED"
 *   E  S.loops.<task>.task_extended_timeouts   "TIMEOUT NOT EXPIRED <uuid v4>"
 *      S.control.<task>.run                    hash: host worker instance run_id started r_expires last_success
 * last_result S.control.<task>.paused                 hash: who host reason since; `until` is the key's TTL
 *      S.control.epoch                         absent after FLUSHALL
 * A RedisConn is not shared between threads; otherwise no state here. */

#include <jansson.h>

#include "common/clock.h"
#include "common/redis.h"

typedef struct LockIdentity {
        const char *service;  /* S */
        const char *host;     /* host name */
        const char *worker;   /* family */
        const char *instance; /* random id the supervisor made for this worker process */
} LockIdentity;

typedef struct LockTask {
        const char *task;
        uint64_t interval_usec;
        uint64_t extended_ttl_usec;
        bool original_extended; /* the original takes an E for this task */
} LockTask;

typedef enum LockOutcome {
        LOCK_TAKEN,
        LOCK_HELD_R, /* wait_usec: PTTL of R */
        LOCK_HELD_E, /* wait_usec: PTTL of E; the original's counter and error record apply */
        LOCK_PAUSED,
        LOCK_WAIT_EPOCH, /* FLUSHALL was seen: nobody of ours takes a lock for 6 s */
        /* in the coordinator's events only */
        LOCK_BROKEN,    /* lock_take() said -EBADMSG, a key is of a wrong type */
        LOCK_NOT_ASKED, /* the take was given up before there was an answer */
} LockOutcome;

typedef enum LockHolder {
        LOCK_HOLDER_UNKNOWN,  /* an R that is not ours: an original, which may be running */
        LOCK_HOLDER_RUN,      /* somebody runs the task: there is an E */
        LOCK_HOLDER_INTERVAL, /* nobody: the interval since a run of ours is not over */
} LockHolder;

typedef struct LockTakeResult {
        LockOutcome outcome;
        LockHolder holder_kind; /* with LOCK_HELD_R and LOCK_HELD_E */
        uint64_t wait_usec;
        bool endless;              /* the key that is in the way has no TTL: somebody must delete it */
        char uuid[UUID_TEXT_SIZE]; /* value of E behind "TIMEOUT NOT EXPIRED " */
        int64_t started_usec;      /* Redis server time at which it was taken */
        char *holder; /* who holds it, from the run hash, or "another service (original?)"; who paused it, where and
                       * why; NULL if taken */
} LockTakeResult;
void lock_take_result_done(LockTakeResult *r);

typedef enum LockRenewOutcome {
        LOCK_RENEWED,
        LOCK_RENEWED_FOREIGN_R, /* our E, somebody else's R, and the original has a multiplier: go on, leave R alone */
        LOCK_LOST,              /* cancel the run */
} LockRenewOutcome;

/* Take flags. */
#define LOCK_IGNORE_R                                                                                                  \
        (1u << 0) /* trigger, run --force: E alone decides; R is set to a full interval if ours or absent */
#define LOCK_IGNORE_PAUSE (1u << 1)

/* `uuid` is made by the caller, so that an acquisition whose reply was lost can be undone by it. All return 0 or
 * negative errno with reterr. -EBADMSG with ERROR_NEVER: a key of the task's is of a wrong type; text and hint name it,
 * and nothing but its deletion helps. */
int lock_take(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, const char *run_id,
              unsigned flags, CancelToken *token, LockTakeResult *ret, Error *reterr);
/* started_usec: that of lock_take, so that a flushed run hash is written whole again. */
int lock_renew(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, const char *run_id,
               int64_t started_usec, CancelToken *token, LockRenewOutcome *ret, Error *reterr);
/* result: "ok", "failed", "cancelled", "previewed" (a dry run), or "abandoned" (the worker stops before the run
 * completed: R is deleted too);
 * ret_wait_usec: PTTL of R afterwards (0: due now). */
int lock_end(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, const char *result,
             CancelToken *token, uint64_t *ret_wait_usec, Error *reterr);
/* An acquisition whose reply was lost: deletes E, R and the run hash if they are that UUID's. */
int lock_undo(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, CancelToken *token,
              Error *reterr);
/* Clears E of a run whose `instance` is in dead_instances and gives R back its remainder. ret: true if it did. */
int lock_clear_dead(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *const *dead_instances,
                    size_t n_dead, CancelToken *token, bool *ret, Error *reterr);

/* Pause is fleet-wide. until_usec 0: until resumed (realtime otherwise). */
int lock_pause(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *who, const char *reason,
               uint64_t until_usec, CancelToken *token, Error *reterr);
int lock_resume(RedisConn *c, const LockIdentity *id, const LockTask *task, CancelToken *token, bool *ret_was_paused,
                Error *reterr);
/* Looks up the pauses of n tasks in one round trip. While paused, an R that is missing or below 30 s is set to 60 s, or
 * to what is left of the pause. ret_texts[i]: who paused task i and why (the caller frees), or NULL when it is not
 * paused. A key of a wrong type is in the text of its own task, which is held by it. */
int lock_keep_paused(RedisConn *c, const LockIdentity *id, const LockTask *tasks, size_t n, CancelToken *token,
                     char **ret_texts, Error *reterr);

/* What the fleet knows of the tasks, for status: an object with an entry per task,
 * {"r_ttl_usec":…,"e_ttl_usec":…,"run":{host,worker,instance,run_id,started,last_success,last_result},
 *  "running":bool,"holder":"…"|null,"paused":{who,host,reason,since,until}|null}, or null where a key is of a wrong
 * type. One round trip for all tasks. */
int lock_fleet_status(RedisConn *c, const LockIdentity *id, const LockTask *tasks, size_t n, CancelToken *token,
                      json_t **ret, Error *reterr);
