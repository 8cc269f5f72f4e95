/* Sample data of the orders family: orders that have ended and some that have not, and Vulcan's caches of the open
 * short-term ones. Some of those are stale or expired, so that the family's tasks find something at their first runs.
 */

#include <inttypes.h>
#include <stdio.h>

#include "sql/statements.h"
#include "workers/sample/sample_order.h"

#define PAGE 500
/* One of so many subaccounts' worth of open orders. */
#define OPEN_PER_SUBACCOUNT 2
#define ORPHANS 5
#define PARKED 20

/* What an earlier sample left; its order keys are those that its expiry set names. */
static const char clear_script[] = "for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do\n"
                                   "  redis.call('DEL', 'v4/orders/' .. member, 'v4/orderData/' .. member)\n"
                                   "end\n"
                                   "redis.call('DEL', unpack(KEYS))\n"
                                   "return redis.status_reply('OK')\n";

static int fill_ended(SampleContext *s, Error *reterr) {
        const char *params[] = { s->now, s->seed_text, s->subaccounts_text, s->markets_text };

        return sample_query(s, &sql_sample_orders, ELEMENTSOF(params), params, NULL, reterr);
}

static int fill_open(SampleContext *s, Error *reterr) {
        _cleanup_pg_result_ PGresult *chosen = NULL;
        char n[24];
        const char *params[] = { s->seed_text, n, "true" };
        int r;

        (void) snprintf(n, sizeof(n), "%zu", OPEN_PER_SUBACCOUNT * s->n_subaccounts);
        r = sample_query(s, &sql_sample_choose_orders, ELEMENTSOF(params), params, &chosen, reterr);
        return r < 0 ? r : sample_orders_insert(s, chosen, reterr);
}

static int clear_caches(SampleContext *s, RedisPipeline *p, Error *reterr) {
        if (redis_pipeline_addv(p, "EVAL", clear_script, "3", "v4/orderExpiry", "v4/stateful_order_update_ids",
                                "v4/stateful_order_updates", NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        return sample_redis(s, "sample_clear_orders", p, REDIS_REPLY_STATUS, reterr);
}

/* The replies of a page differ in type; an error among them must not pass. */
static int send_page(SampleContext *s, RedisPipeline *p, Error *reterr) {
        int r;

        r = redis_execute(s->redis, "sample_orders", p, s->token, reterr);
        for (size_t i = 0; r >= 0 && i < redis_pipeline_count(p); i++)
                if (redis_pipeline_reply(p, i)->type == REDIS_REPLY_ERROR)
                        r = redis_reply_check(redis_pipeline_reply(p, i), REDIS_REPLY_STATUS, "orders", reterr);
        redis_pipeline_clear(p);
        return r;
}

static int add_caches(SampleContext *s, const SampleOrder *o, int i, RedisPipeline *p) {
        uint64_t now_msec = s->now_usec / USEC_PER_MSEC;
        int r = 0;

        /* an orphan has its member and nothing else */
        if (i < ORPHANS)
                r = redis_pipeline_addv(p, "ZADD", "v4/orderExpiry", "9999999", o->uuid, NULL);
        else
                r = sample_order_place(o, p);
        if (r >= 0 && i < PARKED)
                r = sample_order_park(o, i % 2 == 0 ? now_msec : now_msec - 60000, p);
        return r;
}

static int fill_caches(SampleContext *s, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_pg_result_ PGresult *rows = NULL;
        SampleOrder o;
        int r;

        r = sample_query(s, &sql_sample_read_open_orders, 0, NULL, &rows, reterr);
        if (r < 0)
                return r;
        if (redis_pipeline_new(&p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = clear_caches(s, p, reterr);
        for (int i = 0; r >= 0 && i < PQntuples(rows); i++) {
                r = sample_order_read(rows, i, &o);
                if (r >= 0)
                        r = add_caches(s, &o, i, p);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "cannot make the caches of an order");
                if ((i + 1) % PAGE == 0 || i + 1 == PQntuples(rows))
                        r = send_page(s, p, reterr);
        }
        return r;
}

static const char *const bulk_tables[] = { "orders", NULL };
static const SamplePart parts[] = {
        { "ended orders", fill_ended },
        { "open orders", fill_open },
        { NULL, NULL },
};
static const SamplePart outside_parts[] = {
        { "order caches", fill_caches },
        { NULL, NULL },
};

extern const SampleFamily sample_orders;
const SampleFamily sample_orders = {
        .name = "orders",
        .bulk_tables = bulk_tables,
        .parts = parts,
        .outside_parts = outside_parts,
        .feed = feed_orders,
};
