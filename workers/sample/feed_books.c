/* The live feed's order books follow the prices. Levels that the price passes are emptied, as orders are taken out of a
 * book when they fill; now and then this is forgotten, and the book stays crossed until uncross_orderbook repairs it.
 */

#include <stdio.h>

#include "workers/sample/sample_books.h"

/* Of each market that has its turn: how many levels a side change, how far from the middle, how far a price moves at
 * most between two turns, and one in how many turns forgets. */
#define CHANGES 6
#define DEPTH 200
#define PASSED 15
#define FORGETS 40
#define TURNS 5

/* The writer's script: the size changes by an increment, and the time is the server's. The new size is wanted here, so
 * the increment is made of it. */
static const RedisScript set_level = {
        "feed_set_level",
        "local size = redis.call('HGET', KEYS[1], ARGV[1])\n"
        "if not size and ARGV[2] == '0' then return 0 end\n"
        "redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2] - (tonumber(size) or 0))\n"
        "redis.call('HSET', KEYS[2], ARGV[1], redis.call('TIME')[1])\n"
        "return 1\n",
};

static int add_level(RedisPipeline *p, const BookGrid *g, bool bids, uint64_t ticks, uint64_t size) {
        _cleanup_free_ char *sizes = book_key(g, bids, false), *times = book_key(g, bids, true);
        char price[BOOK_PRICE_SIZE], text[24];

        if (ticks == 0)
                return 0;
        if (!sizes || !times)
                return -ENOMEM;
        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) size);
        return redis_pipeline_add_script(p, &set_level, 2, (const char *const[]){ sizes, times }, 2,
                                         (const char *const[]){ book_price(g, ticks, price), text });
}

/* `distance` ticks from the middle, into the book's own side; negative: beyond the middle. */
static uint64_t at(const BookGrid *g, bool bids, int64_t distance) {
        int64_t ticks = (int64_t) g->middle + (bids ? -distance : distance);

        return ticks > 0 ? (uint64_t) ticks : 0;
}

static int move_side(RedisPipeline *p, const BookGrid *g, bool bids, bool forget, uint64_t *random) {
        int r = add_level(p, g, bids, at(g, bids, 1), g->step * (1 + sample_random(random) % 500));

        for (int i = 0; i < CHANGES && r >= 0; i++) {
                uint64_t draw = sample_random(random);

                /* nearer levels change more often; one change in eight empties the level */
                r = add_level(p, g, bids, at(g, bids, 1 + (int64_t) (draw % (1 + (draw >> 20) % DEPTH))),
                              (draw >> 40) % 8 == 0 ? 0 : g->step * (1 + (draw >> 44) % 500));
        }
        for (int i = 0; i < PASSED && r >= 0 && !forget; i++)
                r = add_level(p, g, bids, at(g, bids, -i), 0);
        /* what the price has left behind */
        for (int i = 0; i < CHANGES && r >= 0; i++)
                r = add_level(p, g, bids, at(g, bids, DEPTH + 1 + (int64_t) (sample_random(random) % DEPTH)), 0);
        return r;
}

int feed_books(SampleContext *s, uint64_t step, const PGresult *markets, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        uint64_t random = s->now_usec + 1;
        int r;

        r = redis_pipeline_new(&p);
        for (int i = 0; i < PQntuples(markets) && r >= 0; i++) {
                BookGrid g;
                bool forget;

                if ((uint64_t) i % TURNS != step % TURNS || !book_grid_read(markets, i, &g))
                        continue;
                forget = sample_random(&random) % FORGETS == 0;
                r = move_side(p, &g, true, forget, &random);
                if (r >= 0)
                        r = move_side(p, &g, false, forget, &random);
        }
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for order books");
        return redis_pipeline_count(p) > 0 ? sample_redis(s, "feed_books", p, REDIS_REPLY_INTEGER, reterr) : 0;
}
