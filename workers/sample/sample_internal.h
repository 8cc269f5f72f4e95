#pragma once

/* What the parts of the sample share. A family adds its own data as a row of sample_parts[] in sample.c. */

#include "common/postgres.h"
#include "common/redis.h"
#include "common/settings.h"

typedef struct SampleContext {
        PgConn *postgres;
        RedisConn *redis;
        CancelToken *token;
        size_t n_markets, n_subaccounts, n_trades; /* a trade is two fills */
        uint64_t seed, now_usec;
        /* the common parameters as text */
        char now[32], seed_text[24], markets_text[24], subaccounts_text[24], trades_text[24];
} SampleContext;

typedef struct SamplePart {
        const char *name;
        int (*fill)(SampleContext *s, Error *reterr);
} SamplePart;

/* One statement with the given text parameters; ret may be NULL. */
int sample_query(SampleContext *s, const SqlStatement *statement, size_t n_params, const char *const *params,
                 PGresult **ret, Error *reterr);
int sample_load_settings(const char *conf_dir, Settings **ret);
int sample_connect(const Settings *settings, const char *name, SampleContext *s, Error *reterr);
void sample_context_done(SampleContext *s);

/* Parts of the market family. */
int sample_market_listing(SampleContext *s, Error *reterr);
int sample_market_history(SampleContext *s, Error *reterr);
int sample_market_funding(SampleContext *s, Error *reterr);
