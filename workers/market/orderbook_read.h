#pragma once

/* Reads the order books of all markets page by page. A page is one pipeline whose replies are taken one book at a time,
 * so that the memory of a run is that of its largest book. */

#include "workers/market/orderbook.h"
#include "workers/task.h"

/* Markets of a page. */
#define ORDERBOOK_PAGE 64

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
/* The error record about fields that only one of a side's hashes has; nothing when both are empty. */
void orderbook_report_mismatch(TaskContext *ctx, const OrderbookMarket *m, OrderbookSideName side,
                               const OrderbookText *sizes_only, size_t n_sizes_only, const OrderbookText *times_only,
                               size_t n_times_only);

/* Gets the book, which lives until the return and may be sorted. A negative errno ends the run; -EBADMSG with a text is
 * about this market alone. */
typedef int (*OrderbookCallback)(const OrderbookMarket *m, Orderbook *book, void *userdata, Error *reterr);

typedef struct OrderbookReader OrderbookReader;
int orderbook_reader_new(TaskContext *ctx, unsigned parse_flags, OrderbookCallback callback, void *userdata,
                         OrderbookReader **ret, Error *reterr);
OrderbookReader *orderbook_reader_free(OrderbookReader *r);
DEFINE_CLEANUP(OrderbookReader, orderbook_reader_free)
/* Reads n <= ORDERBOOK_PAGE books. One that cannot be read or has a value that is no number is reported as a failed
 * item and left out. Fields that only one hash of a side has are logged. */
int orderbook_reader_page(OrderbookReader *r, const OrderbookMarket *const *markets, size_t n, Error *reterr);
/* All markets, page by page, when nothing is to be done in between. */
int orderbook_read_all(TaskContext *ctx, const OrderbookMarkets *l, unsigned parse_flags, OrderbookCallback callback,
                       void *userdata, Error *reterr);
