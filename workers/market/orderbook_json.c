/* Levels as the log records show them. */

#include "common/json.h"
#include "workers/market/orderbook.h"

int orderbook_levels_append_json(const OrderbookSide *s, size_t n, Buffer *b) {
        (void) buffer_append_string(b, "[");
        for (size_t i = 0; i < n && i < s->n; i++) {
                const OrderbookLevel *l = s->levels + i;

                (void) buffer_append_string(b, i > 0 ? ",{\"humanPrice\":" : "{\"humanPrice\":");
                (void) json_append_string(b, l->price.s, l->price.n);
                (void) buffer_append_string(b, ",\"quantums\":");
                (void) json_append_string(b, l->size.s, l->size.n);
                (void) buffer_append_string(b, ",\"lastUpdated\":");
                (void) json_append_string(b, l->updated.s, l->updated.n);
                (void) buffer_append_string(b, "}");
        }
        (void) buffer_append_string(b, "]");
        return buffer_failed(b) ? -ENOMEM : 0;
}
