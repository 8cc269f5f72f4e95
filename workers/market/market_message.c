/* The message for websocket clients, byte for byte the original's (market specification, section 9.7). */

#include "common/json.h"
#include "workers/market/market_statistics.h"

#define MESSAGE_VERSION "1.0.0"

static int append_market(Buffer *b, const Market *m) {
        bool first = true;

        (void) buffer_append_string(b, "{");
        for (unsigned i = 0; i < MARKET_COLUMNS; i++) {
                const char *value = market_value(m, i);

                if (!(m->published & (1u << i)))
                        continue;
                (void) buffer_printf(b, "%s\"%s\":", first ? "" : ",", market_column_name(i));
                if (i == MARKET_TRADES)
                        (void) buffer_append_string(b, value);
                else
                        (void) json_append_string(b, value, strlen(value));
                first = false;
        }
        return buffer_append_string(b, "}");
}

static int compare_tickers(const void *a, const void *b) {
        const Market *const *x = a, *const *y = b;
        int r = strcmp((*x)->ticker, (*y)->ticker);

        /* by address within a ticker, which is the order of the list */
        return r != 0 ? r : (*x > *y) - (*x < *y);
}

/* Fills shown[i] with the market whose values stand at the place of market i; NULL where nothing does. Of markets with
 * one ticker the last one's values win, at the place of the first: what assigning to one key twice does to an object.
 */
static int choose_shown(const Market *markets, size_t n, const Market **shown) {
        _cleanup_free_ const Market **sorted = NULL;
        size_t n_sorted = 0;

        sorted = calloc(n, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (markets[i].published)
                        sorted[n_sorted++] = markets + i;
        if (n_sorted > 0)
                qsort(sorted, n_sorted, sizeof(*sorted), compare_tickers);
        for (size_t i = 0; i < n_sorted;) {
                size_t last = i;

                while (last + 1 < n_sorted && str_eq(sorted[last + 1]->ticker, sorted[i]->ticker))
                        last++;
                shown[sorted[i] - markets] = sorted[last];
                i = last + 1;
        }
        return 0;
}

int market_message_contents(const Market *markets, size_t n, Buffer *ret) {
        _cleanup_free_ const Market **shown = NULL;
        bool any = false;
        int r;

        if (n == 0)
                return 0;
        shown = calloc(n, sizeof(*shown));
        if (!shown)
                return -ENOMEM;
        r = choose_shown(markets, n, shown);
        if (r < 0)
                return r;
        (void) buffer_append_string(ret, "{\"trading\":{");
        for (size_t i = 0; i < n; i++) {
                if (!shown[i])
                        continue;
                if (any)
                        (void) buffer_append_string(ret, ",");
                (void) json_append_string(ret, shown[i]->ticker, strlen(shown[i]->ticker));
                (void) buffer_append_string(ret, ":");
                (void) append_market(ret, shown[i]);
                any = true;
        }
        (void) buffer_append_string(ret, "}}");
        return buffer_failed(ret) ? -ENOMEM : any;
}

/* A length-delimited field (wire type 2): tag, base-128 length with the lowest group first, bytes. */
static void append_field(Buffer *b, uint8_t number, const char *data, size_t length) {
        uint8_t head[1 + 10];
        size_t n = 0, rest = length;

        head[n++] = (uint8_t) (number << 3 | 2);
        for (; rest >= 0x80; rest >>= 7)
                head[n++] = (uint8_t) ((rest & 0x7f) | 0x80);
        head[n++] = (uint8_t) rest;
        (void) buffer_append(b, head, n);
        (void) buffer_append(b, data, length);
}

int market_message_encode(const Buffer *contents, Buffer *ret) {
        append_field(ret, 1, contents->data, contents->length);
        append_field(ret, 2, MESSAGE_VERSION, strlen(MESSAGE_VERSION));
        return buffer_failed(ret) ? -ENOMEM : 0;
}
