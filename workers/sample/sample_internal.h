#pragma once

/* What the families' parts of the sample share.
 *
 * How a family adds its data: a file sample_<family>.c that defines `const SampleFamily sample_<family>`, a line in
 * families.def (after the families whose rows it refers to), its statements in sql/sample, and the file in
 * workers/meson.build. Rows are made on the server by statements over generate_series() and hashint8extended(…, seed),
 * so that a part takes seconds at any scale and the same seed gives the same rows. */

#include "common/postgres.h"
#include "common/redis.h"
#include "common/settings.h"

typedef struct SampleContext {
        PgConn *postgres;
        RedisConn *redis;
        CancelToken *token;
        size_t n_markets, n_subaccounts, n_positions, n_trades; /* a trade is two fills */
        size_t n_levels;                                        /* of each side of an order book */
        uint64_t seed, now_usec;
        /* the common parameters of statements as text */
        char now[32], seed_text[24], markets_text[24], subaccounts_text[24], positions_text[24], trades_text[24];
} SampleContext;

typedef struct SamplePart {
        const char *name; /* shown with the time it took */
        int (*fill)(SampleContext *s, Error *reterr);
} SamplePart;

typedef struct SampleFamily {
        const char *name;
        /* Tables it fills with so many rows that their indexes are better built afterwards. NULL-terminated, or NULL.
         */
        const char *const *bulk_tables;
        /* Run within the one transaction of the sample. Ended by a NULL name, or NULL. */
        const SamplePart *parts;
        /* Redis and such, behind the commit: each may be run again and replaces what an earlier sample left. */
        const SamplePart *outside_parts;
        /* One step of the live feed, `step` counting from 0, every interval (1 s); or NULL. The context has now_usec,
         * trades_text (a step's) and the connections only. */
        int (*feed)(SampleContext *s, uint64_t step, Error *reterr);
} SampleFamily;

/* In the order of families.def, NULL-terminated. */
extern const SampleFamily *const sample_families[];

/* One statement with the given text parameters; ret may be NULL. */
int sample_query(SampleContext *s, const SqlStatement *statement, size_t n_params, const char *const *params,
                 PGresult **ret, Error *reterr);
/* One pipeline, each of whose replies must be of `type` (REDIS_REPLY_*); clears it then. */
int sample_redis(SampleContext *s, const char *name, RedisPipeline *p, int type, Error *reterr);
/* splitmix64: the same numbers for the same state. */
uint64_t sample_random(uint64_t *state);

/* sample_indexes.c. Drops the indexes and keys of all bulk tables that nothing refers to and returns the statements
 * that make them again. Within the transaction: a failure takes everything back. */
int sample_indexes_drop(SampleContext *s, char **ret_script, Error *reterr);

/* feed_market.c */
int feed_market(SampleContext *s, uint64_t step, Error *reterr);

int sample_load_settings(const char *conf_dir, Settings **ret);
int sample_connect(const Settings *settings, const char *name, SampleContext *s, Error *reterr);
void sample_context_done(SampleContext *s);
