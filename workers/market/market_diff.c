/* What changed: texts are compared byte for byte, so that a new scale counts as a change, once (market specification,
 * section 9.6). */

#include "workers/market/market_statistics.h"

void market_diff(Market *m) {
        m->changed = 0;
        for (unsigned i = 0; i < MARKET_COLUMNS; i++)
                if (m->computed[i] && !str_eq(m->computed[i], m->stored[i]))
                        m->changed |= 1u << i;
}
