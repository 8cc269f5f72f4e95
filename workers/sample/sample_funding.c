/* Sample data of funding payments, hourly PnL and trading rewards: funding index updates of 25 hours, transfers,
 * rewards, and what the tasks would have left two hours ago. */

#include "sql/statements.h"
#include "workers/sample/sample_internal.h"

/* The exchange's hour, shortened so that somebody who looks on sees it pass. */
#define FEED_STEPS_PER_UPDATE 60

static int fill_updates(SampleContext *s, Error *reterr) {
        const char *params[] = { s->now, s->seed_text };

        return sample_query(s, &sql_sample_funding_updates, ELEMENTSOF(params), params, NULL, reterr);
}

static int fill_transfers(SampleContext *s, Error *reterr) {
        const char *params[] = { s->now, s->seed_text, s->subaccounts_text };

        return sample_query(s, &sql_sample_transfers, ELEMENTSOF(params), params, NULL, reterr);
}

static int fill_rewards(SampleContext *s, Error *reterr) {
        const char *params[] = { s->seed_text };

        return sample_query(s, &sql_sample_trading_rewards, ELEMENTSOF(params), params, NULL, reterr);
}

static int fill_state(SampleContext *s, Error *reterr) {
        return sample_query(s, &sql_sample_funding_state, 0, NULL, NULL, reterr);
}

/* How far rewards were added up belongs to the rows that are gone. */
static int forget_processed(SampleContext *s, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;

        if (redis_pipeline_new(&p) < 0 ||
            redis_pipeline_addv(p, "DEL", "v4/aggregate_trading_rewards_processed/DAILY",
                                "v4/aggregate_trading_rewards_processed/WEEKLY",
                                "v4/aggregate_trading_rewards_processed/MONTHLY", NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a pipeline");
        return sample_redis(s, "forget_processed", p, REDIS_REPLY_INTEGER, reterr);
}

static int feed_funding(SampleContext *s, uint64_t step, Error *reterr) {
        const char *params[] = { step % FEED_STEPS_PER_UPDATE == FEED_STEPS_PER_UPDATE - 1 ? "true" : "false" };

        return sample_query(s, &sql_sample_feed_funding, ELEMENTSOF(params), params, NULL, reterr);
}

static const char *const bulk_tables[] = {
        "transfers", "trading_rewards", "funding_index_updates", "funding_payments", "pnl", NULL
};
static const SamplePart parts[] = {
        { "funding updates", fill_updates },
        { "transfers", fill_transfers },
        { "trading rewards", fill_rewards },
        { "payments and PnL", fill_state },
        { NULL, NULL },
};
static const SamplePart outside_parts[] = {
        { "processed times", forget_processed },
        { NULL, NULL },
};

extern const SampleFamily sample_funding;
const SampleFamily sample_funding = {
        .name = "funding",
        .bulk_tables = bulk_tables,
        .parts = parts,
        .outside_parts = outside_parts,
        .feed = feed_funding,
};
