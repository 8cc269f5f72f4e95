#pragma once

/* Reads the order books of all markets page by page. A page is a pipeline that asks how large the books are, and one
 * that reads them, whose replies are taken one book at a time. A book with a hash of more than ORDERBOOK_LARGE fields
 * is left out of it and scanned, so that the memory of a run does not grow with the number or the size of books. */

#include "workers/market/orderbook.h"
#include "workers/task.h"

/* Markets of a page. */
#define ORDERBOOK_PAGE 64
/* Fields of a hash that is read at once. */
#define ORDERBOOK_LARGE 5000
/* Names of a mismatch that a record holds, and bytes of each, behind which a "…" stands for the rest: a broken hash
 * must not become a record of its size. */
#define ORDERBOOK_MISMATCHES_LOGGED 1000
#define ORDERBOOK_NAME_LOGGED 60

typedef struct OrderbookMarket {
        const char *clob_pair_id, *ticker; /* borrowed from the listing */
        int conversion_exponent, resolution;
} OrderbookMarket;

typedef struct OrderbookMarkets {
        PGresult *listing;
        OrderbookMarket *markets;
        size_t n;
} OrderbookMarkets;

void orderbook_markets_done(OrderbookMarkets *l);
#define _cleanup_orderbook_markets_ _cleanup_(orderbook_markets_done)
/* The listing in order of ids from `server`. */
int orderbook_markets_read(TaskContext *ctx, PgServer server, OrderbookMarkets *ret, Error *reterr);
/* The server that listings come from when nothing else is said (database.read_default_from_replica). */
PgServer orderbook_default_server(TaskContext *ctx);

/* Key of one of a side's hashes: of sizes or of times. New string, NULL when out of memory. */
char *orderbook_key(const char *ticker, OrderbookSideName side, bool times);
/* "market <ticker>", for reports. New string or NULL. */
char *orderbook_item(const OrderbookMarket *m);
/* The error record about fields that only one of a side's hashes has; nothing when there are none. n_…: how many there
 * are, of which the first ORDERBOOK_MISMATCHES_LOGGED are looked at. */
void orderbook_report_mismatch(TaskContext *ctx, const OrderbookMarket *m, OrderbookSideName side,
                               const OrderbookText *sizes_only, size_t n_sizes_only, const OrderbookText *times_only,
                               size_t n_times_only);

/* Gets the book, which lives until the return and may be sorted. A negative errno ends the run; -EBADMSG with a text is
 * about this market alone. A book that was scanned comes in windows of its best levels: ORDERBOOK_MORE, with
 * book->taken set, asks for the next one. In between the connection is free, which it is not while a page is read. */
typedef int (*OrderbookCallback)(const OrderbookMarket *m, Orderbook *book, void *userdata, Error *reterr);

typedef struct OrderbookReader OrderbookReader;
int orderbook_reader_new(TaskContext *ctx, unsigned parse_flags, OrderbookCallback callback, void *userdata,
                         OrderbookReader **ret, Error *reterr);
OrderbookReader *orderbook_reader_free(OrderbookReader *r);
DEFINE_CLEANUP(OrderbookReader, orderbook_reader_free)
/* What is done with a large book instead of handing it over in windows, which needs ORDERBOOK_NUMBERS. */
typedef int (*OrderbookLargeCallback)(const OrderbookMarket *m, void *userdata, Error *reterr);
void orderbook_reader_set_large(OrderbookReader *r, OrderbookLargeCallback callback);
/* Reads n <= ORDERBOOK_PAGE books. One that cannot be read or has a value that is no number is reported as a failed
 * item and left out. Fields that only one hash of a side has are logged. */
int orderbook_reader_page(OrderbookReader *r, const OrderbookMarket *const *markets, size_t n, Error *reterr);
/* All markets, page by page, when nothing is to be done in between. */
int orderbook_read_all(TaskContext *ctx, const OrderbookMarkets *l, unsigned parse_flags, OrderbookCallback callback,
                       void *userdata, Error *reterr);
