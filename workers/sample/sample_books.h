#pragma once

/* Order books of the sample and of the live feed. */

#include "workers/sample/sample_internal.h"

/* The grid of a market's prices: each is a whole number of ticks. */
typedef struct BookGrid {
        const char *ticker; /* borrowed */
        uint64_t middle;    /* of the latest price, in ticks */
        long multiple;      /* a tick is multiple * 10^exponent */
        int exponent;
        uint64_t step; /* size in base quantums that sizes are multiples of */
} BookGrid;

/* From a row of read_feed_markets.sql; false when the market has no usable price. */
bool book_grid_read(const PGresult *markets, int row, BookGrid *ret);
/* The price as the writer of the books has it: plain notation without trailing zeros. */
#define BOOK_PRICE_SIZE 96
const char *book_price(const BookGrid *g, uint64_t ticks, char buf[static BOOK_PRICE_SIZE]);
/* "v4/orderbookLevels/<ticker>/<side>" and its times. New strings or NULL. */
char *book_key(const BookGrid *g, bool bids, bool times);

/* sample_books.c: s->n_levels a side in Redis for every market; in every tenth something is wrong. */
int sample_books_fill(SampleContext *s, Error *reterr);
/* feed_books.c: moves the books of another fifth of the markets. */
int feed_books(SampleContext *s, uint64_t step, const PGresult *markets, Error *reterr);
