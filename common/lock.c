/* Calls of the lock scripts: keys and arguments in, outcomes out. */

#include <stdio.h>

#include "common/lock.h"
#include "common/lock_scripts.h"

#define EPOCH_WAIT_MSEC "6000"
#define N_KEYS 5

typedef struct LockKeys {
        char *keys[N_KEYS];
} LockKeys;

static void lock_keys_done(LockKeys *k) {
        for (size_t i = 0; i < N_KEYS; i++) {
                free(k->keys[i]);
                k->keys[i] = NULL;
        }
}

static int lock_keys_init(LockKeys *k, const LockIdentity *id, const char *task) {
        static const char *const formats[N_KEYS] = {
                "%s.loops.%s.task_timeouts", "%s.loops.%s.task_extended_timeouts",
                "%s.control.%s.run",         "%s.control.%s.paused",
                "%s.control.epoch",
        };

        *k = (LockKeys){ 0 };
        for (size_t i = 0; i < N_KEYS; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
                k->keys[i] = str_printf(formats[i], id->service, task);
#pragma GCC diagnostic pop
                if (!k->keys[i]) {
                        lock_keys_done(k);
                        return -ENOMEM;
                }
        }
        return 0;
}

typedef struct Number {
        char text[24];
} Number;

static const char *number(Number *n, uint64_t value) {
        (void) snprintf(n->text, sizeof(n->text), "%llu", (unsigned long long) value);
        return n->text;
}

/* PX 0 is refused by the server: whole milliseconds, at least one. */
static const char *milliseconds(Number *n, uint64_t usec) {
        return number(n, usec < USEC_PER_MSEC ? 1 : usec / USEC_PER_MSEC);
}

/* Appends the script with the task's keys. */
static int add_call(RedisPipeline *p, const LockIdentity *id, const char *task, const RedisScript *script,
                    size_t n_args, const char *const *args) {
        LockKeys k;
        int r;

        r = lock_keys_init(&k, id, task);
        if (r < 0)
                return r;
        r = redis_pipeline_add_script(p, script, N_KEYS, (const char *const *) k.keys, n_args, args);
        lock_keys_done(&k);
        return r;
}

/* An error reply says that some key is of a wrong type: says which, so that somebody can delete it. */
static void name_broken_key(RedisConn *c, const LockIdentity *id, const char *task, CancelToken *token, Error *e) {
        static const char *const types[N_KEYS] = { "string", "string", "hash", "hash", "string" };
        _cleanup_(lock_keys_done) LockKeys k = { 0 };
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;

        if (!e || redis_pipeline_new(&p) < 0 || lock_keys_init(&k, id, task) < 0)
                return;
        for (size_t i = 0; i < N_KEYS; i++)
                if (redis_pipeline_addv(p, "TYPE", k.keys[i], NULL) < 0)
                        return;
        if (redis_execute(c, "lock.types", p, token, NULL) < 0)
                return;
        for (size_t i = 0; i < N_KEYS; i++) {
                const redisReply *type = redis_pipeline_reply(p, i);

                if (type->type != REDIS_REPLY_STATUS || str_eq(type->str, "none") || str_eq(type->str, types[i]))
                        continue;
                (void) error_prefix(e, "key %s is of type %s, not %s", k.keys[i], type->str, types[i]);
                error_set_hint(e, "delete it: redis-cli DEL %s", k.keys[i]);
                return;
        }
}

/* Runs one script; the reply has `type` and belongs to *ret_pipeline. */
static int call(RedisConn *c, const LockIdentity *id, const char *task, const RedisScript *script, size_t n_args,
                const char *const *args, int type, CancelToken *token, RedisPipeline **ret_pipeline, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        int r;

        r = redis_pipeline_new(&p);
        if (r >= 0)
                r = add_call(p, id, task, script, n_args, args);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "%s of %s: out of memory", script->name, task);
        r = redis_execute(c, script->name, p, token, reterr);
        if (r < 0)
                return r;
        r = redis_reply_check(redis_pipeline_reply(p, 0), type, script->name, reterr);
        if (r < 0) {
                name_broken_key(c, id, task, token, reterr);
                error_prefix(reterr, "task %s", task);
                return r;
        }
        *ret_pipeline = TAKE_PTR(p);
        return 0;
}

static int call_integer(RedisConn *c, const LockIdentity *id, const char *task, const RedisScript *script,
                        size_t n_args, const char *const *args, CancelToken *token, long long *ret, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        int r;

        r = call(c, id, task, script, n_args, args, REDIS_REPLY_INTEGER, token, &p, reterr);
        if (r >= 0)
                *ret = redis_pipeline_reply(p, 0)->integer;
        return r;
}

static const char *element_text(const redisReply *array, size_t i) {
        const redisReply *e = i < array->elements ? array->element[i] : NULL;

        return e && e->type == REDIS_REPLY_STRING ? e->str : NULL;
}

static long long element_integer(const redisReply *array, size_t i) {
        const redisReply *e = i < array->elements ? array->element[i] : NULL;

        return e && e->type == REDIS_REPLY_INTEGER ? e->integer : -2;
}

void lock_take_result_done(LockTakeResult *r) {
        free(r->holder);
        r->holder = NULL;
}

/* A key without a TTL would never go away by itself: wait an interval and say so. */
static uint64_t wait_from_ttl(long long ttl_msec, const LockTask *task) {
        if (ttl_msec == -1)
                return task->interval_usec;
        return ttl_msec < 0 ? 0 : (uint64_t) ttl_msec * USEC_PER_MSEC;
}

/* New string. */
static char *endless_holder(const LockIdentity *id, const LockTask *task, LockOutcome outcome, const char *holder) {
        _cleanup_(lock_keys_done) LockKeys k = { 0 };

        if (lock_keys_init(&k, id, task->task) < 0)
                return NULL;
        return str_printf("%s, by the key %s without a TTL: delete it by hand", str_empty(holder) ? "somebody" : holder,
                          k.keys[outcome == LOCK_HELD_E ? 1 : 0]);
}

static int parse_take(const redisReply *reply, const LockIdentity *id, const LockTask *task, LockTakeResult *ret,
                      Error *reterr) {
        static const struct {
                const char *text;
                LockOutcome outcome;
        } outcomes[] = {
                { "taken", LOCK_TAKEN },   { "r", LOCK_HELD_R },         { "e", LOCK_HELD_E },
                { "paused", LOCK_PAUSED }, { "epoch", LOCK_WAIT_EPOCH },
        };
        const char *text = element_text(reply, 0), *holder = element_text(reply, 2);
        const long long ttl = element_integer(reply, 1);

        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                if (!str_eq(text, outcomes[i].text))
                        continue;
                ret->outcome = outcomes[i].outcome;
                ret->wait_usec = wait_from_ttl(ttl, task);
                ret->endless = ttl == -1 && ret->outcome != LOCK_PAUSED;
                if (ret->outcome == LOCK_TAKEN) {
                        ret->started_usec = strtoll(element_text(reply, 3) ?: "0", NULL, 10);
                        return 0;
                }
                ret->holder_kind = str_eq(element_text(reply, 3), "run")        ? LOCK_HOLDER_RUN
                                   : str_eq(element_text(reply, 3), "interval") ? LOCK_HOLDER_INTERVAL
                                                                                : LOCK_HOLDER_UNKNOWN;
                ret->holder = ret->endless ? endless_holder(id, task, ret->outcome, holder) : strdup(holder ?: "");
                return ret->holder ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        }
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "lock.take of %s: unexpected reply", task->task);
}

int lock_take(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, const char *run_id,
              unsigned flags, CancelToken *token, LockTakeResult *ret, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        LockTakeResult result = { 0 };
        Number interval, extended;
        int r;

        r = call(c, id, task->task, &lock_script_take, 10,
                 (const char *const[]){ uuid, run_id, milliseconds(&interval, task->interval_usec),
                                        milliseconds(&extended, task->extended_ttl_usec), id->host, id->worker,
                                        id->instance, flags & LOCK_IGNORE_R ? "1" : "0",
                                        flags & LOCK_IGNORE_PAUSE ? "1" : "0", EPOCH_WAIT_MSEC },
                 REDIS_REPLY_ARRAY, token, &p, reterr);
        if (r < 0)
                return r;
        (void) snprintf(result.uuid, sizeof(result.uuid), "%s", uuid);
        r = parse_take(redis_pipeline_reply(p, 0), id, task, &result, reterr);
        if (r >= 0)
                *ret = result;
        return r;
}

int lock_renew(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, const char *run_id,
               int64_t started_usec, CancelToken *token, LockRenewOutcome *ret, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        Number interval, extended, started;
        const char *text;
        int r;

        r = call(c, id, task->task, &lock_script_renew, 9,
                 (const char *const[]){ uuid, run_id, milliseconds(&interval, task->interval_usec),
                                        milliseconds(&extended, task->extended_ttl_usec), id->host, id->worker,
                                        id->instance, task->original_extended ? "1" : "0",
                                        number(&started, (uint64_t) started_usec) },
                 REDIS_REPLY_STRING, token, &p, reterr);
        if (r < 0)
                return r;
        text = redis_pipeline_reply(p, 0)->str;
        if (str_eq(text, "renewed"))
                *ret = LOCK_RENEWED;
        else if (str_eq(text, "foreign"))
                *ret = LOCK_RENEWED_FOREIGN_R;
        else if (str_eq(text, "lost"))
                *ret = LOCK_LOST;
        else
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "lock.renew of %s: unexpected reply", task->task);
        return 0;
}

int lock_end(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, const char *result,
             CancelToken *token, uint64_t *ret_wait_usec, Error *reterr) {
        Number interval;
        long long ttl;
        int r;

        r = call_integer(c, id, task->task, &lock_script_end, 3,
                         (const char *const[]){ uuid, result, milliseconds(&interval, task->interval_usec) }, token,
                         &ttl, reterr);
        if (r >= 0 && ret_wait_usec)
                *ret_wait_usec = wait_from_ttl(ttl, task);
        return r;
}

int lock_undo(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *uuid, CancelToken *token,
              Error *reterr) {
        long long undone;

        return call_integer(c, id, task->task, &lock_script_undo, 1, (const char *const[]){ uuid }, token, &undone,
                            reterr);
}

int lock_clear_dead(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *const *dead_instances,
                    size_t n_dead, CancelToken *token, bool *ret, Error *reterr) {
        _cleanup_free_ const char **args = calloc(n_dead + 1, sizeof(*args));
        Number interval;
        long long cleared;
        int r;

        if (!args)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        args[0] = milliseconds(&interval, task->interval_usec);
        for (size_t i = 0; i < n_dead; i++)
                args[1 + i] = dead_instances[i];
        r = call_integer(c, id, task->task, &lock_script_clear_dead, n_dead + 1, args, token, &cleared, reterr);
        if (r >= 0)
                *ret = cleared == 1;
        return r;
}

int lock_pause(RedisConn *c, const LockIdentity *id, const LockTask *task, const char *who, const char *reason,
               uint64_t until_usec, CancelToken *token, Error *reterr) {
        Number until;
        long long exists;

        return call_integer(
                c, id, task->task, &lock_script_pause, 4,
                (const char *const[]){ who, id->host, reason ?: "", number(&until, until_usec / USEC_PER_MSEC) }, token,
                &exists, reterr);
}

int lock_resume(RedisConn *c, const LockIdentity *id, const LockTask *task, CancelToken *token, bool *ret_was_paused,
                Error *reterr) {
        Number interval;
        long long was;
        int r;

        r = call_integer(c, id, task->task, &lock_script_resume, 1,
                         (const char *const[]){ milliseconds(&interval, task->interval_usec) }, token, &was, reterr);
        if (r >= 0 && ret_was_paused)
                *ret_was_paused = was == 1;
        return r;
}

/* A key of a wrong type holds its own task, which is paused, or it would not have been looked at; not the others. */
static int pause_text(RedisConn *c, const LockIdentity *id, const char *task, const redisReply *reply,
                      CancelToken *token, char **ret, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        *ret = NULL;
        if (reply->type == REDIS_REPLY_NIL)
                return 0;
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, lock_script_keep_paused.name, &e);
        if (r < 0 && r != -EBADMSG) {
                if (reterr)
                        error_move(reterr, &e);
                return r;
        }
        if (r < 0) {
                name_broken_key(c, id, task, token, &e);
                *ret = str_printf("delete the key that is of a wrong type: %s", error_text(&e));
        } else
                *ret = str_printf("by %s on %s: %s", element_text(reply, 0) ?: "?", element_text(reply, 1) ?: "?",
                                  element_text(reply, 2) ?: "");
        return *ret ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

int lock_keep_paused(RedisConn *c, const LockIdentity *id, const LockTask *tasks, size_t n, CancelToken *token,
                     char **ret_texts, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        int r;

        r = redis_pipeline_new(&p);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_call(p, id, tasks[i].task, &lock_script_keep_paused, 0, NULL);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory looking up pauses");
        r = redis_execute(c, lock_script_keep_paused.name, p, token, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = pause_text(c, id, tasks[i].task, redis_pipeline_reply(p, i), token, &ret_texts[i], reterr);
                if (r < 0) {
                        while (i-- > 0)
                                free(ret_texts[i]);
                        return r;
                }
        }
        return 0;
}

static json_t *named(const redisReply *values, const char *const *names, size_t n, size_t first_number,
                     size_t last_number) {
        json_t *object = json_object();

        for (size_t i = 0; i < n; i++) {
                const char *text = values ? element_text(values, i) : NULL;
                json_t *value = !text                                   ? json_null()
                                : i >= first_number && i <= last_number ? json_integer(strtoll(text, NULL, 10))
                                                                        : json_string(text);

                (void) json_object_set_new(object, names[i], value ?: json_null());
        }
        return object;
}

static json_t *status_entry(const redisReply *reply) {
        static const char *const run_names[] = { "host",    "worker",       "instance",   "run_id",
                                                 "started", "last_success", "last_result" };
        static const char *const paused_names[] = { "who", "host", "reason", "since" };
        const redisReply *run = reply->element[3], *paused = reply->element[4];
        const long long r_ttl = element_integer(reply, 0), e_ttl = element_integer(reply, 1),
                        paused_ttl = element_integer(reply, 5);
        const char *holder = element_text(reply, 2);
        json_t *paused_json = json_null();

        if (element_text(paused, 0)) {
                const long long now = strtoll(element_text(reply, 7) ?: "0", NULL, 10);

                paused_json = named(paused, paused_names, ELEMENTSOF(paused_names), 3, 3);
                (void) json_object_set_new(paused_json, "until",
                                           paused_ttl < 0 ? json_null() : json_integer(now + paused_ttl * 1000));
        }
        return json_pack("{s:I, s:I, s:o, s:b, s:o, s:o}", "r_ttl_usec", (json_int_t) (r_ttl < 0 ? 0 : r_ttl * 1000),
                         "e_ttl_usec", (json_int_t) (e_ttl < 0 ? 0 : e_ttl * 1000), "run",
                         named(run, run_names, ELEMENTSOF(run_names), 4, 5), "running",
                         (int) (element_integer(reply, 6) == 1), "holder",
                         str_empty(holder) ? json_null() : json_string(holder), "paused", paused_json);
}

int lock_fleet_status(RedisConn *c, const LockIdentity *id, const LockTask *tasks, size_t n, CancelToken *token,
                      json_t **ret, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        json_t *document;
        int r;

        r = redis_pipeline_new(&p);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_call(p, id, tasks[i].task, &lock_script_status, 0, NULL);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory asking for the fleet's state");
        r = redis_execute(c, lock_script_status.name, p, token, reterr);
        if (r < 0)
                return r;
        document = json_object();
        for (size_t i = 0; i < n; i++) {
                const redisReply *reply = redis_pipeline_reply(p, i);

                json_t *entry;

                r = redis_reply_check(reply, REDIS_REPLY_ARRAY, lock_script_status.name, reterr);
                if (r >= 0 && reply->elements != 8)
                        r = error_set(reterr, ERROR_NEVER, -EBADMSG, "lock.status: unexpected reply");
                /* a key of a wrong type: nothing is known of this task, all of the others */
                entry = r >= 0 ? status_entry(reply) : r == -EBADMSG ? json_null() : NULL;
                if (r == -EBADMSG)
                        r = 0;
                if (r >= 0 && json_object_set_new(document, tasks[i].task, entry) < 0)
                        r = error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
                if (r < 0) {
                        json_decref(document);
                        return r;
                }
        }
        *ret = document;
        return 0;
}
