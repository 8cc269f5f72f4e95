/* Sample data of PnL ticks and leaderboards: ticks up to the hour before the present one, vaults, and the hash of
 * latest ticks in Redis. */

#include "sql/statements.h"
#include "workers/sample/sample_internal.h"

#define LATEST_KEY "v4/latest-accounts-pnl-tick"
#define PAGE 5000

static int fill_ticks(SampleContext *s, Error *reterr) {
        const char *params[] = { s->now, s->seed_text };

        return sample_query(s, &sql_sample_pnl_ticks, ELEMENTSOF(params), params, NULL, reterr);
}

static int fill_vaults(SampleContext *s, Error *reterr) {
        const char *params[] = { s->now };

        return sample_query(s, &sql_sample_vaults, ELEMENTSOF(params), params, NULL, reterr);
}

/* Up to PAGE rows of field and value from row `from` on. */
static int write_page(SampleContext *s, RedisPipeline *p, const PGresult *ticks, int from, Error *reterr) {
        const char *argv[2 + 2 * PAGE] = { "HSET", LATEST_KEY };
        size_t n = 2;

        for (int i = from; i < PQntuples(ticks) && n < ELEMENTSOF(argv); i++) {
                argv[n++] = PQgetvalue(ticks, i, 0);
                argv[n++] = PQgetvalue(ticks, i, 1);
        }
        if (redis_pipeline_add(p, n, argv, NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu ticks", n / 2);
        return sample_redis(s, "latest_ticks", p, REDIS_REPLY_INTEGER, reterr);
}

/* The hash as create_pnl_ticks leaves it; leaderboards were ranked for other rows. */
static int fill_latest(SampleContext *s, Error *reterr) {
        _cleanup_pg_result_ PGresult *time = NULL, *ticks = NULL;
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_pg_array_ PgArray times = { 0 };
        const char *params[1];
        int r;

        if (redis_pipeline_new(&p) < 0 ||
            redis_pipeline_addv(p, "DEL", LATEST_KEY, "v4/leaderboard_pnl_processed/ALL_TIME",
                                "v4/leaderboard_pnl_processed/ONE_DAY", "v4/leaderboard_pnl_processed/SEVEN_DAYS",
                                "v4/leaderboard_pnl_processed/THIRTY_DAYS", "v4/leaderboard_pnl_processed/ONE_YEAR",
                                NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a pipeline");
        r = sample_redis(s, "forget_ticks", p, REDIS_REPLY_INTEGER, reterr);
        if (r >= 0)
                r = sample_query(s, &sql_sample_latest_tick_time, 0, NULL, &time, reterr);
        if (r < 0)
                return r;
        pg_array_append(&times, PQgetvalue(time, 0, 0));
        params[0] = pg_array_text(&times);
        if (!params[0])
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = sample_query(s, &sql_pnl_read_latest_ticks, ELEMENTSOF(params), params, &ticks, reterr);
        for (int i = 0; r >= 0 && i < PQntuples(ticks); i += PAGE)
                r = write_page(s, p, ticks, i, reterr);
        return r;
}

static const char *const bulk_tables[] = { "pnl_ticks", NULL };
static const SamplePart parts[] = {
        { "ticks", fill_ticks },
        { "vaults", fill_vaults },
        { NULL, NULL },
};
static const SamplePart outside_parts[] = {
        { "latest ticks", fill_latest },
        { NULL, NULL },
};

extern const SampleFamily sample_pnl;
const SampleFamily sample_pnl = {
        .name = "pnl",
        .bulk_tables = bulk_tables,
        .parts = parts,
        .outside_parts = outside_parts,
};
