/* remove_old_order_updates: drops what Vulcan parked for stateful orders whose placement did not come in time (orders
 * specification, section 6). A page is taken out of both caches by one script, in which no member can be parked again;
 * nothing is published, and what a crash leaves is found by the next run. */

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "workers/orders/order_update.h"
#include "workers/orders/orders.h"

#define AT "remove-old-order-updates#runTas" /* sic */

static const char *const keys[] = { "v4/stateful_order_update_ids", "v4/stateful_order_updates" };

/* Reads first, so that a key of the wrong type stops it before anything is changed. Returns ids and their values; an id
 * without a value (nil) is taken out all the same. */
static const RedisScript remove_script = {
        .name = "remove_old_order_updates",
        .text = "local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])\n"
                "if #ids == 0 then return {{}, {}} end\n"
                "local updates = redis.call('HMGET', KEYS[2], unpack(ids))\n"
                "redis.call('ZREM', KEYS[1], unpack(ids))\n"
                "redis.call('HDEL', KEYS[2], unpack(ids))\n"
                "return {ids, updates}\n",
};

/* What outlives a slice. */
typedef struct Removal {
        int64_t removed; /* updates: ids that had a value */
        uint64_t seen, started_usec;
} Removal;

static void tell_update(TaskContext *ctx, const redisReply *id, const redisReply *update) {
        _cleanup_buffer_ Buffer json = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        if (order_update_to_json(update->str, (size_t) update->len, &json, &e) < 0) {
                _cleanup_free_ char *item = str_printf("update of order %s", id->str);

                task_item_failed(ctx, item ?: "update", "%s; it was removed", error_text(&e));
                return;
        }
        task_log(ctx, LOG_LEVEL_DEBUG, AT,
                 (const LogField[]){ LOG_STRING("ORDER_UUID", "orderUuid", id->str),
                                     LOG_JSON("REMOVED_UPDATE", "removedUpdate", json.data) },
                 2, "Removed old stateful order update");
}

static int check_answer(const redisReply *reply, Error *reterr) {
        int r;

        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, remove_script.name, reterr);
        if (r < 0)
                return r;
        if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_ARRAY ||
            reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[0]->elements != reply->element[1]->elements)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: %s: unexpected answer of a script",
                                 remove_script.name);
        return 0;
}

/* A dry run can only say how much there would be to do. */
static int preview(TaskContext *ctx, const char *cutoff, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        int r;

        if (redis_pipeline_new(&p) < 0 || redis_pipeline_addv(p, "ZCOUNT", keys[0], "-inf", cutoff, NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = task_redis_read(ctx, "count_old_updates", p, reterr);
        if (r >= 0)
                r = redis_reply_check(redis_pipeline_reply(p, 0), REDIS_REPLY_INTEGER, keys[0], reterr);
        if (r >= 0)
                task_field_int(ctx, "due", redis_pipeline_reply(p, 0)->integer);
        return r;
}

/* One page. Returns how many ids it took out. */
static int remove_page(TaskContext *ctx, const char *cutoff, const char *page_size, int64_t *removed, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        const redisReply *ids, *updates;
        bool done;
        int r;

        if (redis_pipeline_new(&p) < 0 || redis_pipeline_add_script(p, &remove_script, ELEMENTSOF(keys), keys, 2,
                                                                    (const char *const[]){ cutoff, page_size }) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = task_redis_write(ctx, remove_script.name, p, &done, reterr);
        if (r < 0)
                return r;
        if (!done)
                return preview(ctx, cutoff, reterr);
        r = check_answer(redis_pipeline_reply(p, 0), reterr);
        if (r < 0)
                return r;
        ids = redis_pipeline_reply(p, 0)->element[0];
        updates = redis_pipeline_reply(p, 0)->element[1];
        for (size_t i = 0; i < ids->elements; i++) {
                if (updates->element[i]->type != REDIS_REPLY_STRING)
                        continue;
                (*removed)++;
                tell_update(ctx, ids->element[i], updates->element[i]);
        }
        return (int) ids->elements;
}

static int remove_pages(TaskContext *ctx, Removal *x, int64_t *removed, Error *reterr) {
        uint64_t until = clock_monotonic_usec() + settings_duration_usec(task_settings(ctx), "orders.slice");
        uint64_t window = settings_duration_usec(task_settings(ctx), "orders.old_update_window");
        int64_t size = settings_int(task_settings(ctx), "orders.page_size");
        char cutoff[24], page_size[24];
        int n;

        (void) snprintf(cutoff, sizeof(cutoff), "%" PRId64,
                        (int64_t) (task_now_usec(ctx) / USEC_PER_MSEC) - (int64_t) (window / USEC_PER_MSEC));
        (void) snprintf(page_size, sizeof(page_size), "%" PRId64, size);
        for (;;) {
                n = remove_page(ctx, cutoff, page_size, removed, reterr);
                if (n < 0)
                        return n;
                /* in a dry run nothing goes away */
                if (n < size || task_is_dry_run(ctx))
                        return 0;
                x->seen += (uint64_t) n;
                task_progress(ctx, x->seen, 0, "updates");
                if (clock_monotonic_usec() >= until)
                        return TASK_MORE;
        }
}

int remove_old_order_updates_run(TaskContext *ctx) {
        _cleanup_error_ Error e = ERROR_INIT;
        Removal *x = task_kept(ctx);
        int64_t removed = 0;
        int r;

        if (!x) {
                x = calloc(1, sizeof(*x));
                if (!x) {
                        (void) error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory");
                        return task_fail(ctx, &e);
                }
                x->started_usec = clock_monotonic_usec();
                task_keep(ctx, x, free);
        }
        r = remove_pages(ctx, x, &removed, &e);
        x->removed += removed;
        task_field_int(ctx, "updates", removed);
        if (r == TASK_MORE)
                return r;
        /* also of a run that failed: what it removed is gone */
        task_gauge(ctx, "remove_old_order_updates.num_removed", (double) x->removed, NULL, 0);
        task_timing(ctx, "remove_old_order_updates",
                    (int64_t) ((clock_monotonic_usec() - x->started_usec) / USEC_PER_MSEC), NULL, 0);
        if (r >= 0)
                return 0;
        task_log(ctx, LOG_LEVEL_ERROR, AT, (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                 "Error occurred in task to remove old stateful order updates");
        return task_fail(ctx, &e);
}
