/* The market family's part of the live feed: a block, prices and fills each step, order books that follow the prices,
 * and funding samples now and then, which start anew with each hour. */

#include <stdio.h>

#include "sql/statements.h"
#include "workers/sample/sample_books.h"
#include "workers/sample/sample_internal.h"

#define HOUR (3600 * USEC_PER_SEC)

static int add_funding(RedisPipeline *p, const char *ticker, bool new_hour, uint64_t *random) {
        _cleanup_free_ char *key = str_printf("v4/nextFunding/%s", ticker);
        char sample[32];

        if (!key)
                return -ENOMEM;
        if (new_hour && redis_pipeline_addv(p, "DEL", key, NULL) < 0)
                return -ENOMEM;
        (void) snprintf(sample, sizeof(sample), "%de-9", ((int) (sample_random(random) % 201) - 100) * 125);
        return redis_pipeline_addv(p, "RPUSH", key, sample, NULL);
}

/* Every step another tenth of the markets gets a sample; all of them at a full hour. */
static int feed_funding(SampleContext *s, uint64_t step, const PGresult *markets, Error *reterr) {
        static uint64_t last_hour;
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        uint64_t hour = s->now_usec / HOUR, random = s->now_usec;
        bool new_hour = last_hour != 0 && hour != last_hour;
        int r;

        r = redis_pipeline_new(&p);
        for (int i = 0; r >= 0 && i < PQntuples(markets); i++)
                if (new_hour || (uint64_t) i % 10 == step % 10)
                        r = add_funding(p, PQgetvalue(markets, i, 0), new_hour, &random);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for funding samples");
        r = redis_pipeline_count(p) > 0 ? sample_redis(s, "feed_funding", p, REDIS_REPLY_INTEGER, reterr) : 0;
        if (r >= 0)
                last_hour = hour;
        return r;
}

int feed_market(SampleContext *s, uint64_t step, Error *reterr) {
        _cleanup_pg_result_ PGresult *markets = NULL;
        const char *params[] = { s->trades_text };
        int r;

        r = sample_query(s, &sql_sample_feed_tick, ELEMENTSOF(params), params, NULL, reterr);
        if (r >= 0)
                r = sample_query(s, &sql_sample_read_feed_markets, 0, NULL, &markets, reterr);
        if (r >= 0)
                r = feed_funding(s, step, markets, reterr);
        return r < 0 ? r : feed_books(s, step, markets, reterr);
}
