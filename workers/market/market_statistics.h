#pragma once

/* The statistics of perpetual markets: values, differences and the message about them. Pure functions over text:
 * amounts stay the texts that PostgreSQL printed or that common/decimal made, because clients see their scale (market
 * specification, sections 2 and 9.3 to 9.7). No shared state. */

#include "common/error.h"
#include "common/util.h"

/* In the order of the message, which is the physical order in the table. */
typedef enum MarketColumn {
        MARKET_PRICE_CHANGE,
        MARKET_VOLUME,
        MARKET_TRADES,
        MARKET_FUNDING_RATE,
        MARKET_OPEN_INTEREST,
        MARKET_COLUMNS,
} MarketColumn;

const char *market_column_name(MarketColumn column);
/* -1 for an unknown name. */
int market_column_from_name(const char *name, size_t length);

typedef struct Market {
        const char *id, *clob_pair_id, *ticker, *market_id; /* borrowed from the result that was read */
        const char *default_funding_rate;                   /* NULL: none */
        const char *stored[MARKET_COLUMNS];                 /* borrowed; what the database has */
        char *computed[MARKET_COLUMNS];                     /* owned; NULL: the stored value is kept */
        unsigned changed;                                   /* bits of columns, by market_diff() */
        unsigned published;                                 /* bits of columns that go into the message */
} Market;

static inline const char *market_value(const Market *m, MarketColumn column) {
        return m->computed[column] ? m->computed[column] : m->stored[column];
}

/* The computing functions return 0 with *ret a new string, or NULL where the stored value is to be kept; -EINVAL or
 * -ERANGE with a text for a value that cannot be used; -ENOMEM. */

/* NULL for a price that is missing. */
int market_compute_price_change(const char *latest, const char *day_ago, char **ret, Error *reterr);
/* A sum, handed on as it was printed; NULL (no rows) is "0". NaN and infinities are refused. */
int market_compute_sum(const char *sum, char **ret, Error *reterr);
/* A number of trades, which must fit the column (int4). */
int market_compute_trades(const char *count, char **ret, Error *reterr);
/* Average of the samples (n > 0) plus the default rate. n == 0: the stored value is kept. */
int market_compute_funding_rate(size_t n, const char *const *samples, const size_t *lengths, const char *default_rate,
                                char **ret, Error *reterr);

/* Sets `changed`: the columns whose text differs from the stored one. */
void market_diff(Market *m);

/* Appends {"trading":{…}} for the `published` columns of n markets. Returns whether there was any, or -ENOMEM. */
int market_message_contents(const Market *markets, size_t n, Buffer *ret);
/* Appends the protobuf MarketMessage around the contents. 0 or -ENOMEM. */
int market_message_encode(const Buffer *contents, Buffer *ret);
