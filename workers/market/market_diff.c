/* The columns, and which of them changed: texts are compared byte for byte, so that a new scale counts as a change,
 * once (market specification, section 9.6). */

#include "workers/market/market_statistics.h"

static const char *const column_names[MARKET_COLUMNS] = {
        [MARKET_PRICE_CHANGE] = "priceChange24H",
        [MARKET_VOLUME] = "volume24H",
        [MARKET_TRADES] = "trades24H",
        [MARKET_FUNDING_RATE] = "nextFundingRate",
        [MARKET_OPEN_INTEREST] = "openInterest",
};

const char *market_column_name(MarketColumn column) {
        return column_names[column];
}

int market_column_from_name(const char *name, size_t length) {
        for (int i = 0; i < MARKET_COLUMNS; i++)
                if (strlen(column_names[i]) == length && memcmp(column_names[i], name, length) == 0)
                        return i;
        return -1;
}

void market_diff(Market *m) {
        m->changed = 0;
        for (unsigned i = 0; i < MARKET_COLUMNS; i++)
                if (m->computed[i] && !str_eq(m->computed[i], m->stored[i]))
                        m->changed |= 1u << i;
}
