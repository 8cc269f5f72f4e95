#pragma once

/* Order books as the indexer keeps them in Redis: per side a hash of sizes and a hash of times with the same fields,
 * the prices (market specification, sections 4 and 6). Pure functions over replies; no shared state. */

#include <hiredis/hiredis.h>

#include "common/decimal.h"
#include "common/error.h"
#include "common/util.h"

typedef enum OrderbookSideName { ORDERBOOK_BUY, ORDERBOOK_SELL, ORDERBOOK_SIDES } OrderbookSideName;
const char *orderbook_side_to_string(OrderbookSideName side); /* "BUY", "SELL" */

/* A value of a hash: borrowed from the reply, any bytes, also NUL-terminated. */
typedef struct OrderbookText {
        const char *s;
        size_t n;
} OrderbookText;

typedef struct OrderbookLevel {
        OrderbookText price, size, updated;
        double price_number; /* set by a parse with ORDERBOOK_NUMBERS */
} OrderbookLevel;

/* One side. Its memory is kept from book to book; all-zero is an empty one. */
typedef struct OrderbookSide {
        OrderbookLevel *levels;
        size_t n, allocated;
        size_t beyond; /* levels that are not here: all of them are worse than these, which are sorted then */
        /* prices of one hash that the other has not; borrowed */
        OrderbookText *sizes_only, *times_only;
        size_t n_sizes_only, n_times_only, allocated_only[2];
        uint32_t *table; /* of the join */
        size_t allocated_table;
} OrderbookSide;

void orderbook_side_done(OrderbookSide *s);

/* How many levels of each side, from the best, a rule gives up. */
typedef struct OrderbookCut {
        size_t bids, asks;
} OrderbookCut;

typedef struct Orderbook {
        OrderbookSide sides[ORDERBOOK_SIDES];
        /* of a book that is too large to be held: what is here comes behind as many earlier windows */
        unsigned window;
        /* with the return of ORDERBOOK_MORE: levels here that need not be in the next window */
        OrderbookCut taken;
} Orderbook;

/* What a function of a book returns that needs the levels beyond: it is to be called again with the next window. */
#define ORDERBOOK_MORE 1

static inline void orderbook_done(Orderbook *b) {
        orderbook_side_done(&b->sides[ORDERBOOK_BUY]);
        orderbook_side_done(&b->sides[ORDERBOOK_SELL]);
}
#define _cleanup_orderbook_ _cleanup_(orderbook_done)

/* Parse flags. */
#define ORDERBOOK_KEEP_ZEROS (1u << 0) /* levels of size "0" stay */
#define ORDERBOOK_NUMBERS (1u << 1)    /* prices and times must be numbers, too; price_number is set */

/* Reads a side from the replies to HGETALL of its two hashes: the fields that both have, without negative sizes.
 * -EBADMSG names a value that is no number; -ENOMEM. */
int orderbook_side_parse(OrderbookSide *s, const redisReply *sizes, const redisReply *times, unsigned flags,
                         Error *reterr);
/* Whether the flags want the level: 1, with price_number set, 0, or -EBADMSG as above. */
int orderbook_level_check(OrderbookLevel *l, unsigned flags, Error *reterr);
/* Best first: bids descending, asks ascending, by price_number, stable. -ENOMEM. */
int orderbook_side_sort(OrderbookSide *s, OrderbookSideName side);
/* The level that sorting would put first; NULL when there is none. */
const OrderbookLevel *orderbook_side_best(const OrderbookSide *s, OrderbookSideName side);

/* The rule by which a crossed book is shown (section 6, step 7): the newer or larger level stays. Of sorted sides. */
OrderbookCut orderbook_read_rule(const Orderbook *b);
/* The rule by which a crossed book is repaired (section 11): the older level goes, of two of one age the bid. Prices
 * are compared as decimals. Of sorted sides. */
OrderbookCut orderbook_uncross_rule(const Orderbook *b);

/* Whether the cut would be the same with the levels beyond. If not, these are taken, and the rule goes on with the next
 * window where it ended in this one. */
bool orderbook_cut_is_final(const Orderbook *b, OrderbookCut cut);

/* Half the sum of the best prices by the read rule, in "fixed" form; NULL in *ret when a side is empty. The sides need
 * not be sorted, and may be afterwards. 0, ORDERBOOK_MORE, or negative with a text. */
int orderbook_mid_price(Orderbook *b, char **ret, Error *reterr);

/* The grammar of decimals (section 2), as the nearest double. -EINVAL, -ERANGE. */
int orderbook_number(OrderbookText text, double *ret);
/* Of a text that is a number: whether it is below zero, exactly. */
bool orderbook_is_negative(OrderbookText text);

/* [{"humanPrice":…,"quantums":…,"lastUpdated":…},…] of the first n levels. -ENOMEM. */
int orderbook_levels_append_json(const OrderbookSide *s, size_t n, Buffer *b);
