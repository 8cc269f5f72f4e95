/* Bytes as order book hashes: lines "side field value", the side one of b B a A (sizes and times of bids, of asks).
 * What parses is sorted, and neither rule leaves a crossed book; the mid price lies between the best prices. */

#include <stdint.h>
#include <stdlib.h>

#include "workers/market/orderbook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HASHES = 2 * ORDERBOOK_SIDES, MAX_WORDS = 512 };

typedef struct Hash {
        redisReply reply;
        redisReply *elements[MAX_WORDS];
} Hash;

static void add_word(Hash *h, const char *s, size_t n) {
        redisReply *r = calloc(1, sizeof(*r));

        if (!r || !(r->str = malloc(n + 1)))
                abort();
        r->type = REDIS_REPLY_STRING;
        r->len = n;
        if (n > 0)
                memcpy(r->str, s, n);
        r->str[n] = '\0';
        h->elements[h->reply.elements++] = r;
}

static bool has_field(const Hash *h, const char *s, size_t n) {
        for (size_t i = 0; i < h->reply.elements; i += 2)
                if (h->elements[i]->len == n && memcmp(h->elements[i]->str, s, n) == 0)
                        return true;
        return false;
}

static void add_line(Hash *hashes, const char *line, size_t length) {
        static const char names[] = "bBaA";
        const char *which = length > 2 && line[1] == ' ' ? memchr(names, line[0], HASHES) : NULL, *blank;
        Hash *h;

        if (!which || !(blank = memchr(line + 2, ' ', length - 2)))
                return;
        h = hashes + (which - names);
        if (h->reply.elements + 2 > MAX_WORDS || has_field(h, line + 2, (size_t) (blank - line - 2)))
                return;
        add_word(h, line + 2, (size_t) (blank - line - 2));
        add_word(h, blank + 1, length - (size_t) (blank + 1 - line));
}

static void check_sorted(const OrderbookSide *s, OrderbookSideName side) {
        for (size_t i = 1; i < s->n; i++)
                if (side == ORDERBOOK_BUY ? s->levels[i - 1].price_number < s->levels[i].price_number
                                          : s->levels[i - 1].price_number > s->levels[i].price_number)
                        abort();
}

static void check_cut(const Orderbook *b, OrderbookCut cut, bool strict) {
        const OrderbookSide *bids = &b->sides[ORDERBOOK_BUY], *asks = &b->sides[ORDERBOOK_SELL];

        if (cut.bids > bids->n || cut.asks > asks->n)
                abort();
        if (cut.bids == bids->n || cut.asks == asks->n)
                return;
        if (strict ? bids->levels[cut.bids].price_number >= asks->levels[cut.asks].price_number
                   : bids->levels[cut.bids].price_number > asks->levels[cut.asks].price_number)
                abort();
}

static void check_book(Orderbook *b) {
        OrderbookCut shown;
        _cleanup_free_ char *price = NULL;
        double number;
        bool both;

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                const OrderbookLevel *best = orderbook_side_best(&b->sides[side], side);
                const char *text = best ? best->price.s : NULL;

                if (orderbook_side_sort(&b->sides[side], side) < 0)
                        abort();
                check_sorted(&b->sides[side], side);
                if (text != (b->sides[side].n > 0 ? b->sides[side].levels[0].price.s : NULL))
                        abort();
        }
        shown = orderbook_read_rule(b);
        check_cut(b, shown, true);
        check_cut(b, orderbook_uncross_rule(b), false);
        both = shown.bids < b->sides[ORDERBOOK_BUY].n && shown.asks < b->sides[ORDERBOOK_SELL].n;
        if (orderbook_mid_price(b, &price, NULL) < 0)
                return; /* too long to be computed */
        if (both != (price != NULL))
                abort();
        if (!price || orderbook_number((OrderbookText){ price, strlen(price) }, &number) < 0)
                return;
        /* rounding to 20 places may leave the interval by half a unit */
        if (number < b->sides[ORDERBOOK_BUY].levels[shown.bids].price_number - 1e-20 ||
            number > b->sides[ORDERBOOK_SELL].levels[shown.asks].price_number + 1e-20)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const unsigned flags[] = { 0, ORDERBOOK_KEEP_ZEROS, ORDERBOOK_NUMBERS };
        const char *p = (const char *) data, *end = p + size;
        Hash hashes[HASHES] = { 0 };

        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t) (end - p)), *stop = newline ? newline : end;

                add_line(hashes, p, (size_t) (stop - p));
                p = stop + 1;
        }
        for (size_t i = 0; i < HASHES; i++) {
                hashes[i].reply.type = REDIS_REPLY_ARRAY;
                hashes[i].reply.element = hashes[i].elements;
        }
        for (size_t f = 0; f < ELEMENTSOF(flags); f++) {
                _cleanup_orderbook_ Orderbook b = { 0 };
                bool good = true;

                for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                        OrderbookSide *s = &b.sides[side];
                        const redisReply *sizes = &hashes[2 * side].reply, *times = &hashes[2 * side + 1].reply;

                        if (orderbook_side_parse(s, sizes, times, flags[f], NULL) < 0)
                                good = false;
                        /* every field is a level, was left out, or has no partner */
                        else if (s->n + s->n_sizes_only > sizes->elements / 2 ||
                                 s->n + s->n_times_only > times->elements / 2)
                                abort();
                }
                if (good && flags[f] == ORDERBOOK_NUMBERS)
                        check_book(&b);
        }
        for (size_t i = 0; i < HASHES; i++)
                for (size_t k = 0; k < hashes[i].reply.elements; k++) {
                        free(hashes[i].elements[k]->str);
                        free(hashes[i].elements[k]);
                }
        return 0;
}
