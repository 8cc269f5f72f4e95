/* A list with the instants of the requests started within the last window, the oldest first; a turn is given when all n
 * fit. A twentieth is added to the window: the service counts requests when they arrive, and they do not take equally
 * long. */

#include <stdio.h>

#include "common/clock.h"
#include "workers/compliance/screening_limit.h"

#define LONGEST_HOLD_USEC (30 * USEC_PER_SEC)

/* KEYS: started, hold. ARGV: n, limit, window in usec. Returns microseconds to wait (0: go) and whether that is a hold.
 * An instant in the future is of a clock that was set back since. */
static const RedisScript take_script = {
        "screening.take", "local t = redis.call('TIME')\n"
                          "local now = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
                          "local n, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n"
                          "local hold = redis.call('PTTL', KEYS[2])\n"
                          "if hold > 0 then return {hold * 1000, 1} end\n"
                          "local function oldest(i) return tonumber(redis.call('LINDEX', KEYS[1], i) or '') end\n"
                          "while true do\n"
                          "  local at = oldest(0)\n"
                          "  if not at or (at > now - window and at <= now) then break end\n"
                          "  redis.call('LPOP', KEYS[1])\n"
                          "end\n"
                          "local over = redis.call('LLEN', KEYS[1]) + n - limit\n"
                          "if over > 0 then\n"
                          "  local at = oldest(over - 1)\n"
                          "  if at then return {math.max(1, at + window - now), 0} end\n"
                          "end\n"
                          "for i = 1, n do redis.call('RPUSH', KEYS[1], string.format('%.0f', now)) end\n"
                          "redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1000)\n"
                          "return {0, 0}\n"
};

/* KEYS: hold. ARGV: milliseconds. */
static const RedisScript hold_script = {
        "screening.hold",
        "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end\n"
        "return 0\n"
};

static int run_script(TaskContext *ctx, const RedisScript *script, size_t n_args, const char *const *args,
                      RedisPipeline *p, bool *ret_done, Error *reterr) {
        _cleanup_free_ char *started = str_printf("%s.control.screening.started", task_service(ctx));
        _cleanup_free_ char *hold = str_printf("%s.control.screening.hold", task_service(ctx));
        bool take = script == &take_script;
        const char *keys[] = { take ? started : hold, hold };

        if (!started || !hold || redis_pipeline_add_script(p, script, take ? 2 : 1, keys, n_args, args) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %s", script->name);
        return task_redis_write(ctx, script->name, p, ret_done, reterr);
}

/* *ret_wait: microseconds until it is worth while to ask again; 0: the turn is ours. */
static int ask(TaskContext *ctx, size_t n, uint64_t *ret_wait, bool *ret_hold, Error *reterr) {
        const Settings *settings = task_settings(ctx);
        unsigned long long window = settings_duration_usec(settings, "compliance.screening.batch_delay");
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        char n_text[24], limit[24], window_text[24];
        const char *args[] = { n_text, limit, window_text };
        const redisReply *reply;
        bool done = false;
        int r;

        (void) snprintf(n_text, sizeof(n_text), "%zu", n);
        (void) snprintf(limit, sizeof(limit), "%lld",
                        (long long) settings_int(settings, "compliance.screening.batch_size"));
        (void) snprintf(window_text, sizeof(window_text), "%llu", window + window / 20);
        if (redis_pipeline_new(&p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %s", take_script.name);
        r = run_script(ctx, &take_script, ELEMENTSOF(args), args, p, &done, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(p, 0);
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, take_script.name, reterr);
        if (r < 0)
                return r;
        if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_INTEGER ||
            reply->element[1]->type != REDIS_REPLY_INTEGER)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "%s: unexpected reply", take_script.name);
        *ret_wait = (uint64_t) reply->element[0]->integer;
        *ret_hold = reply->element[1]->integer != 0;
        return 0;
}

static int sleep_for(TaskContext *ctx, uint64_t usec, Error *reterr) {
        int r = cancel_token_poll(task_cancel_token(ctx), -1, 0, usec);

        return r < 0 ? error_set(reterr, ERROR_CANCELED, r, "waiting for a turn to ask the screening service: %s",
                                 cancel_reason_to_string(cancel_token_reason(task_cancel_token(ctx))))
                     : 0;
}

int screening_limit_take(TaskContext *ctx, size_t n, uint64_t *waited_usec, Error *reterr) {
        uint64_t start = clock_monotonic_usec();

        if (task_is_dry_run(ctx))
                return 0;
        for (;;) {
                uint64_t wait = 0;
                bool hold = false;
                int r;

                r = ask(ctx, n, &wait, &hold, reterr);
                if (r >= 0 && hold && wait > LONGEST_HOLD_USEC)
                        r = error_set(reterr, ERROR_RETRY, -EAGAIN,
                                      "the screening service wants to be left alone for %llu s more",
                                      (unsigned long long) ((wait + USEC_PER_SEC - 1) / USEC_PER_SEC));
                /* hosts that were told the same must not come back at the same instant */
                if (r >= 0 && wait > 0)
                        r = sleep_for(ctx, wait + random_u64() % (20 * USEC_PER_MSEC), reterr);
                if (r < 0 || wait == 0) {
                        *waited_usec += clock_monotonic_usec() - start;
                        return r;
                }
        }
}

int screening_limit_hold(TaskContext *ctx, uint64_t usec, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        char msec[24];
        const char *args[] = { msec };
        int r;

        (void) snprintf(msec, sizeof(msec), "%llu",
                        (unsigned long long) (usec < USEC_PER_MSEC ? 1 : usec / USEC_PER_MSEC));
        r = redis_pipeline_new(&p);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for %s", hold_script.name);
        r = run_script(ctx, &hold_script, 1, args, p, NULL, reterr);
        return r < 0 || task_is_dry_run(ctx)
                       ? r
                       : redis_reply_check(redis_pipeline_reply(p, 0), REDIS_REPLY_INTEGER, hold_script.name, reterr);
}
