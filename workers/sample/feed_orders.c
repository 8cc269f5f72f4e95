/* The orders family's part of the live feed, which plays trader, node and Vulcan: each step some orders are placed, and
 * those whose last block has passed are removed. The node "forgets" one in sixteen: those are what the family's tasks
 * are for, and Vulcan removes them when it would have read Roundtable's message. */

#include <inttypes.h>
#include <stdio.h>

#include "sql/statements.h"
#include "workers/sample/sample_order.h"

#define PLACED "4"
/* Blocks after which Vulcan has been asked to remove what the node forgot: more than remove_expired_orders waits. */
#define FORGOTTEN_BLOCKS 150
#define PARK_STEPS 7

/* ARGV: the latest height, and the last block of forgotten orders that go too. Returns the ids. */
static const RedisScript remove_script = {
        .name = "feed_remove_orders",
        .text = "local removed = {}\n"
                "local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, "
                "1000)\n"
                "for i = 1, #due, 2 do\n"
                "  local id = due[i]\n"
                "  if (id:sub(-1) ~= '0' or tonumber(due[i + 1]) <= tonumber(ARGV[2])) and\n"
                "     redis.call('DEL', 'v4/orders/' .. id, 'v4/orderData/' .. id) > 0 then\n"
                "    redis.call('ZREM', KEYS[1], id)\n"
                "    removed[#removed + 1] = id\n"
                "  end\n"
                "end\n"
                "return removed\n",
};

static int place_orders(SampleContext *s, uint64_t step, const PGresult *chosen, RedisPipeline *p, Error *reterr) {
        int r;

        r = sample_orders_insert(s, chosen, reterr);
        if (r < 0)
                return r;
        for (int i = 0; r >= 0 && i < PQntuples(chosen); i++) {
                SampleOrder o;

                r = sample_order_read(chosen, i, &o);
                if (r >= 0)
                        r = sample_order_place(&o, p);
                if (r >= 0 && i == 0 && step % PARK_STEPS == 0)
                        r = sample_order_park(&o, s->now_usec / USEC_PER_MSEC, p);
        }
        return r < 0 ? error_set(reterr, ERROR_RETRY, r, "cannot make the caches of an order") : 0;
}

static int add_removal(int64_t height, RedisPipeline *p) {
        char latest[24], forgotten[24];

        (void) snprintf(latest, sizeof(latest), "%" PRId64, height);
        (void) snprintf(forgotten, sizeof(forgotten), "%" PRId64, height - FORGOTTEN_BLOCKS);
        return redis_pipeline_add_script(p, &remove_script, 1, (const char *const[]){ "v4/orderExpiry" }, 2,
                                         (const char *const[]){ latest, forgotten });
}

static int cancel_removed(SampleContext *s, const redisReply *removed, Error *reterr) {
        _cleanup_pg_array_ PgArray ids = { 0 };
        const char *params[1];
        int r;

        r = redis_reply_check(removed, REDIS_REPLY_ARRAY, remove_script.name, reterr);
        if (r < 0 || removed->elements == 0)
                return r;
        for (size_t i = 0; i < removed->elements; i++)
                pg_array_append(&ids, removed->element[i]->str);
        params[0] = pg_array_text(&ids);
        if (!params[0])
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        return sample_query(s, &sql_sample_cancel_orders, 1, params, NULL, reterr);
}

int feed_orders(SampleContext *s, uint64_t step, Error *reterr) {
        _cleanup_pg_result_ PGresult *chosen = NULL, *height = NULL;
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        char seed[24];
        const char *params[] = { seed, PLACED, "false" };
        int r;

        (void) snprintf(seed, sizeof(seed), "%" PRIu64, s->now_usec);
        (void) format_iso_msec(s->now_usec, s->now);
        r = sample_query(s, &sql_orders_read_height, 0, NULL, &height, reterr);
        if (r < 0 || PQntuples(height) == 0)
                return r;
        r = sample_query(s, &sql_sample_choose_orders, ELEMENTSOF(params), params, &chosen, reterr);
        if (r < 0)
                return r;
        if (redis_pipeline_new(&p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = place_orders(s, step, chosen, p, reterr);
        if (r < 0)
                return r;
        if (add_removal(strtoll(PQgetvalue(height, 0, 0), NULL, 10), p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = redis_execute(s->redis, "feed_orders", p, s->token, reterr);
        return r < 0 ? r : cancel_removed(s, redis_pipeline_reply(p, redis_pipeline_count(p) - 1), reterr);
}
