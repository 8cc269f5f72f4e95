/* Order books in Redis. They are mostly sound; some have what the tasks are for: stale levels that cross the book,
 * sizes of zero and below, a side that is empty, hashes whose fields differ. */

#include <math.h>
#include <stdio.h>

#include "sql/statements.h"
#include "workers/sample/sample_books.h"

/* Columns of read_feed_markets.sql. */
enum { ROW_TICKER, ROW_PRICE, ROW_MULTIPLE, ROW_EXPONENT, ROW_STEP };

#define MARKETS_PAGE 64

bool book_grid_read(const PGresult *markets, int row, BookGrid *ret) {
        double price = strtod(PQgetvalue(markets, row, ROW_PRICE), NULL), ticks;

        *ret = (BookGrid){
                .ticker = PQgetvalue(markets, row, ROW_TICKER),
                .multiple = strtol(PQgetvalue(markets, row, ROW_MULTIPLE), NULL, 10),
                .exponent = (int) strtol(PQgetvalue(markets, row, ROW_EXPONENT), NULL, 10),
                .step = strtoull(PQgetvalue(markets, row, ROW_STEP), NULL, 10),
        };
        ticks = price / ((double) ret->multiple * pow(10, ret->exponent));
        if (!(ticks >= 2 && ticks < 1e15) || ret->multiple <= 0 || abs(ret->exponent) > 40)
                return false;
        ret->middle = (uint64_t) llround(ticks);
        return true;
}

const char *book_price(const BookGrid *g, uint64_t ticks, char buf[static BOOK_PRICE_SIZE]) {
        char digits[32];
        uint64_t value = ticks * (uint64_t) g->multiple;
        int exponent = g->exponent, n;

        for (; value > 0 && value % 10 == 0 && exponent < 0; exponent++)
                value /= 10;
        if (exponent >= 0) {
                (void) snprintf(buf, BOOK_PRICE_SIZE, "%llu%.*s", (unsigned long long) value, value > 0 ? exponent : 0,
                                "0000000000000000000000000000000000000000");
                return buf;
        }
        n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long) value);
        if (n > -exponent)
                (void) snprintf(buf, BOOK_PRICE_SIZE, "%.*s.%s", n + exponent, digits, digits + n + exponent);
        else
                (void) snprintf(buf, BOOK_PRICE_SIZE, "0.%.*s%s", -exponent - n,
                                "0000000000000000000000000000000000000000", digits);
        return buf;
}

char *book_key(const BookGrid *g, bool bids, bool times) {
        return str_printf("v4/orderbookLevels/%s/%s%s", g->ticker, bids ? "BUY" : "SELL", times ? "/lastUpdated" : "");
}

/* The fields of a side's two hashes under way, as the words of two HSETs. */
typedef struct Side {
        const char **words[2];
        char (*texts)[BOOK_PRICE_SIZE]; /* price, size, time of each level */
        size_t n[2], levels, allocated;
} Side;

static void side_done(Side *s) {
        free(s->words[0]);
        free(s->words[1]);
        free(s->texts);
}

static int side_new(Side *s, size_t levels) {
        s->allocated = levels;
        s->texts = calloc(3 * levels, sizeof(*s->texts));
        for (int i = 0; i < 2; i++)
                s->words[i] = calloc(2 + 2 * levels, sizeof(*s->words[i]));
        return s->texts && s->words[0] && s->words[1] ? 0 : -ENOMEM;
}

static void side_begin(Side *s, const char *const keys[static 2]) {
        s->levels = 0;
        for (int i = 0; i < 2; i++) {
                s->words[i][0] = "HSET";
                s->words[i][1] = keys[i];
                s->n[i] = 2;
        }
}

/* `only`: -1 both hashes, 0 the sizes alone, 1 the times alone. */
static void add_level(Side *s, const BookGrid *g, uint64_t ticks, long long size, uint64_t seconds, int only) {
        char(*texts)[BOOK_PRICE_SIZE] = s->texts + 3 * s->levels;

        if (s->levels == s->allocated)
                return;
        s->levels++;
        (void) book_price(g, ticks, texts[0]);
        (void) snprintf(texts[1], sizeof(texts[1]), "%lld", size);
        (void) snprintf(texts[2], sizeof(texts[2]), "%llu", (unsigned long long) seconds);
        for (int i = 0; i < 2; i++) {
                if (only == 1 - i)
                        continue;
                s->words[i][s->n[i]++] = texts[0];
                s->words[i][s->n[i]++] = texts[1 + i];
        }
}

static int add_side(SampleContext *s, RedisPipeline *p, Side *side, const BookGrid *g, size_t i, bool bids,
                    uint64_t *random) {
        _cleanup_free_ char *sizes = book_key(g, bids, false), *times = book_key(g, bids, true);
        const uint64_t now = s->now_usec / USEC_PER_SEC;
        const bool empty = i % 25 == 8 && !bids, zeros = i % 10 == 5;
        int r;

        if (!sizes || !times)
                return -ENOMEM;
        side_begin(side, (const char *const[]){ sizes, times });
        for (size_t k = 0; k < s->n_levels && !empty && (!bids || k + 2 < g->middle); k++) {
                uint64_t ticks = bids ? g->middle - 1 - k : g->middle + 1 + k,
                         size = g->step * (1 + sample_random(random) % 500);

                add_level(side, g, ticks, zeros && k % 20 == 7 ? 0 : (long long) size,
                          now - sample_random(random) % 3600, -1);
        }
        /* what was not taken out when the price moved: stale bids above the best ask */
        if (i % 10 == 3 && bids)
                for (uint64_t k = 2; k <= 4; k++)
                        add_level(side, g, g->middle + k, (long long) g->step, now - 3600 - k, -1);
        if (i % 10 == 6 && !bids)
                add_level(side, g, g->middle, -(long long) g->step, now, -1);
        if (i % 10 == 7 && !bids) {
                add_level(side, g, g->middle + s->n_levels + 5, (long long) g->step, now, 0);
                add_level(side, g, g->middle + s->n_levels + 6, (long long) g->step, now, 1);
        }
        r = redis_pipeline_addv(p, "DEL", sizes, times, NULL);
        for (int k = 0; k < 2 && r >= 0; k++)
                if (side->n[k] > 2)
                        r = redis_pipeline_add(p, side->n[k], side->words[k], NULL);
        return r;
}

int sample_books_fill(SampleContext *s, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_pg_result_ PGresult *markets = NULL;
        _cleanup_(side_done) Side side = { 0 };
        uint64_t random = s->seed;
        int r, n;

        r = sample_query(s, &sql_sample_read_feed_markets, 0, NULL, &markets, reterr);
        if (r < 0)
                return r;
        n = PQntuples(markets);
        if (side_new(&side, s->n_levels + 8) < 0 || redis_pipeline_new(&p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for order books");
        for (int i = 0; i < n; i++) {
                BookGrid g;

                if (book_grid_read(markets, i, &g) && (add_side(s, p, &side, &g, (size_t) i, true, &random) < 0 ||
                                                       add_side(s, p, &side, &g, (size_t) i, false, &random) < 0))
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", g.ticker);
                if (redis_pipeline_count(p) > 0 && ((i + 1) % MARKETS_PAGE == 0 || i + 1 == n)) {
                        r = sample_redis(s, "sample_books", p, REDIS_REPLY_INTEGER, reterr);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}
