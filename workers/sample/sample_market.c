/* Sample data of the market family: markets with real names and plausible parameters, 25 hours of prices and fills,
 * positions, and the funding samples of the hour. */

#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/sample/sample_books.h"
#include "workers/sample/sample_internal.h"

/* Prices in USD, of the order these assets have traded at. */
static const struct {
        const char *ticker;
        double price;
} known[] = {
        { "BTC-USD", 64250 },
        { "ETH-USD", 3120 },
        { "SOL-USD", 148.2 },
        { "XRP-USD", 0.5312 },
        { "DOGE-USD", 0.1274 },
        { "LINK-USD", 14.31 },
        { "AVAX-USD", 28.74 },
        { "ADA-USD", 0.4416 },
        { "LTC-USD", 71.9 },
        { "BCH-USD", 388.5 },
        { "DOT-USD", 6.132 },
        { "UNI-USD", 7.864 },
        { "ATOM-USD", 6.711 },
        { "NEAR-USD", 5.284 },
        { "ARB-USD", 0.7205 },
        { "OP-USD", 1.792 },
        { "APT-USD", 7.031 },
        { "SUI-USD", 0.8127 },
        { "TIA-USD", 6.255 },
        { "SEI-USD", 0.3308 },
        { "INJ-USD", 23.12 },
        { "FIL-USD", 4.391 },
        { "ETC-USD", 22.86 },
        { "XLM-USD", 0.0998 },
        { "TRX-USD", 0.1265 },
        { "AAVE-USD", 97.4 },
        { "MKR-USD", 2514 },
        { "CRV-USD", 0.2871 },
        { "COMP-USD", 48.63 },
        { "SNX-USD", 1.603 },
        { "LDO-USD", 1.744 },
        { "1INCH-USD", 0.3724 },
        { "DYDX-USD", 1.337 },
        { "BLUR-USD", 0.2019 },
        { "PEPE-USD", 0.00001163 },
        { "SHIB-USD", 0.00001772 },
        { "BONK-USD", 0.00002643 },
        { "WIF-USD", 2.087 },
        { "JUP-USD", 0.8344 },
        { "PYTH-USD", 0.3361 },
        { "WLD-USD", 2.256 },
        { "RNDR-USD", 6.471 },
        { "FET-USD", 1.298 },
        { "STX-USD", 1.711 },
        { "RUNE-USD", 4.182 },
        { "ICP-USD", 8.093 },
        { "IMX-USD", 1.422 },
        { "ALGO-USD", 0.1387 },
        { "GRT-USD", 0.1716 },
        { "EOS-USD", 0.5503 },
        /* isolated markets are named by the pool that prices them; commas belong to the ticker */
        { "FARTCOIN,RAYDIUM,9BB6NFECJBCTNNLFKO2FQVQBQ8HHM13KCYYCDQBGPUMP-USD", 0.4218 },
        { "AERO,UNISWAP_V3,0X940181A94A35A4569E4529A3CDFB74E38FD98631-USD", 0.9127 },
};

typedef struct SampleMarket {
        char *ticker;
        double price;
        int exponent, resolution;
        bool isolated;
} SampleMarket;

static void sample_market_done(SampleMarket *m) {
        free(m->ticker);
}

/* Beyond the known names markets are numbered, their prices spread evenly over eight powers of ten. */
static int make_market(SampleMarket *m, size_t i) {
        int magnitude;

        if (i < ELEMENTSOF(known)) {
                m->ticker = strdup(known[i].ticker);
                m->price = known[i].price;
        } else {
                m->ticker = str_printf("T%04zu-USD", i);
                m->price = pow(10, (double) (i * 7919 % 800) / 100 - 4);
        }
        if (!m->ticker)
                return -ENOMEM;
        magnitude = (int) floor(log10(m->price));
        m->exponent = magnitude - 9;
        m->resolution = -6 - magnitude;
        m->isolated = strchr(m->ticker, ',') != NULL;
        return 0;
}

static const char *tier_of(const SampleMarket *m, size_t i) {
        return m->isolated ? "4" : i < 2 ? "0" : i < 12 ? "1" : i % 17 == 16 ? "3" : "2";
}

typedef struct MarketArrays {
        PgArray id, pair, exponent, price, resolution, subticks, tier, type;
} MarketArrays;

static void market_arrays_done(MarketArrays *a) {
        PgArray *all[] = {
                &a->id, &a->pair, &a->exponent, &a->price, &a->resolution, &a->subticks, &a->tier, &a->type
        };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                pg_array_done(all[i]);
}

static void append_int(PgArray *a, long value) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%ld", value);
        pg_array_append(a, text);
}

static int append_market(MarketArrays *a, size_t i) {
        _cleanup_(sample_market_done) SampleMarket m = { 0 };
        char price[64];

        if (make_market(&m, i) < 0)
                return -ENOMEM;
        (void) snprintf(price, sizeof(price), "%.*f", m.exponent < 0 ? -m.exponent : 0, m.price);
        append_int(&a->id, (long) i);
        pg_array_append(&a->pair, m.ticker);
        append_int(&a->exponent, m.exponent);
        pg_array_append(&a->price, price);
        append_int(&a->resolution, m.resolution);
        append_int(&a->subticks, i < 2 ? 100000 : 1000000);
        pg_array_append(&a->tier, tier_of(&m, i));
        pg_array_append(&a->type, m.isolated ? "ISOLATED" : "CROSS");
        return 0;
}

static int fill_listing(SampleContext *s, Error *reterr) {
        _cleanup_(market_arrays_done) MarketArrays a = { 0 };
        const char *markets[4], *perpetuals[6];
        int r;

        for (size_t i = 0; i < s->n_markets; i++)
                if (append_market(&a, i) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu markets", s->n_markets);
        markets[0] = perpetuals[0] = pg_array_text(&a.id);
        markets[1] = perpetuals[1] = pg_array_text(&a.pair);
        markets[2] = pg_array_text(&a.exponent);
        markets[3] = pg_array_text(&a.price);
        perpetuals[2] = pg_array_text(&a.resolution);
        perpetuals[3] = pg_array_text(&a.subticks);
        perpetuals[4] = pg_array_text(&a.tier);
        perpetuals[5] = pg_array_text(&a.type);
        for (size_t i = 0; i < ELEMENTSOF(perpetuals); i++)
                if (!perpetuals[i] || (i < ELEMENTSOF(markets) && !markets[i]))
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu markets", s->n_markets);
        r = sample_query(s, &sql_sample_tiers, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = sample_query(s, &sql_sample_assets, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = sample_query(s, &sql_sample_markets, ELEMENTSOF(markets), markets, NULL, reterr);
        if (r >= 0)
                r = sample_query(s, &sql_sample_perpetual_markets, ELEMENTSOF(perpetuals), perpetuals, NULL, reterr);
        return r;
}

static int fill_history(SampleContext *s, Error *reterr) {
        const struct {
                const SqlStatement *statement;
                size_t n;
                const char *params[5];
        } steps[] = {
                { &sql_sample_blocks, 1, { s->now } },
                { &sql_sample_oracle_prices, 2, { s->now, s->seed_text } },
                { &sql_sample_subaccounts, 3, { s->now, s->seed_text, s->subaccounts_text } },
                { &sql_sample_fills,
                  5,
                  { s->now, s->seed_text, s->trades_text, s->markets_text, s->subaccounts_text } },
                { &sql_sample_positions,
                  5,
                  { s->now, s->seed_text, s->positions_text, s->subaccounts_text, s->markets_text } },
        };

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = sample_query(s, steps[i].statement, steps[i].n, steps[i].params, NULL, reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* A sample of each minute since the full hour, as the indexer writes them: ppm per 8 hours, divided by eight. */
static int add_funding(SampleContext *s, RedisPipeline *p, size_t i, uint64_t *state) {
        _cleanup_(sample_market_done) SampleMarket m = { 0 };
        _cleanup_free_ char *key = NULL;
        size_t n = (size_t) (s->now_usec / (60 * USEC_PER_SEC) % 60);

        if (make_market(&m, i) < 0)
                return -ENOMEM;
        key = str_printf("v4/nextFunding/%s", m.ticker);
        if (!key || redis_pipeline_addv(p, "DEL", key, NULL) < 0)
                return -ENOMEM;
        for (size_t k = 0; k < n; k++) {
                int ppm = (int) (sample_random(state) % 201) - 100;
                char text[32];

                /* |ppm| / 8 in units of 10^-6 with three digits: 12500e-9 is 12.5 ppm */
                (void) snprintf(text, sizeof(text), "%de-9", ppm * 125);
                if (redis_pipeline_addv(p, "RPUSH", key, text, NULL) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int fill_funding(SampleContext *s, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        uint64_t state = s->seed;
        int r;

        r = redis_pipeline_new(&p);
        for (size_t i = 0; r >= 0 && i < s->n_markets; i++) {
                r = add_funding(s, p, i, &state);
                if (r < 0 || ((i + 1) % 64 != 0 && i + 1 < s->n_markets))
                        continue;
                r = sample_redis(s, "sample_funding", p, REDIS_REPLY_INTEGER, reterr);
                if (r < 0)
                        return r;
        }
        return r < 0 ? error_set(reterr, ERROR_RETRY, r, "out of memory for funding samples") : 0;
}

static const char *const bulk_tables[] = { "fills",       "oracle_prices",   "perpetual_positions",
                                           "subaccounts", "asset_positions", "wallets",
                                           NULL };
static const SamplePart parts[] = {
        { "listing", fill_listing },
        { "history", fill_history },
        { NULL, NULL },
};
static const SamplePart outside_parts[] = {
        { "funding samples", fill_funding },
        { "order books", sample_books_fill },
        { NULL, NULL },
};

extern const SampleFamily sample_market;
const SampleFamily sample_market = {
        .name = "market",
        .bulk_tables = bulk_tables,
        .parts = parts,
        .outside_parts = outside_parts,
        .feed = feed_market,
};
