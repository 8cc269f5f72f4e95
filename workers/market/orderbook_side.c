/* A side from its two hashes. Redis keeps each in an order of its own, though most often in the same one. */

#include "workers/market/orderbook.h"

#define NONE UINT32_MAX

const char *orderbook_side_to_string(OrderbookSideName side) {
        return side == ORDERBOOK_BUY ? "BUY" : "SELL";
}

void orderbook_side_done(OrderbookSide *s) {
        free(s->levels);
        free(s->sizes_only);
        free(s->times_only);
        free(s->table);
        *s = (OrderbookSide){ 0 };
}

/* Room for n elements, the contents being of no use any more. */
static int reserve(void **array, size_t *allocated, size_t n, size_t element) {
        void *grown;

        if (n <= *allocated)
                return 0;
        grown = reallocarray(NULL, n, element);
        if (!grown)
                return -ENOMEM;
        free(*array);
        *array = grown;
        *allocated = n;
        return 0;
}

static size_t pairs(const redisReply *hash) {
        return hash->elements / 2;
}

static OrderbookText text_at(const redisReply *hash, size_t i) {
        return (OrderbookText){ hash->element[i]->str, hash->element[i]->len };
}

static OrderbookText field(const redisReply *hash, size_t i) {
        return text_at(hash, 2 * i);
}

static OrderbookText value(const redisReply *hash, size_t i) {
        return text_at(hash, 2 * i + 1);
}

static bool same(OrderbookText a, OrderbookText b) {
        return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* FNV-1a, 64 bit. */
static uint64_t hash_text(OrderbookText t) {
        uint64_t h = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < t.n; i++)
                h = (h ^ (unsigned char) t.s[i]) * 0x100000001b3ULL;
        return h ^ (h >> 29);
}

/* Open addressing; holds positions in `times`. Half empty at least. */
static int build_table(OrderbookSide *s, const redisReply *times, size_t *ret_mask) {
        size_t size = 16;
        int r;

        while (size < 2 * pairs(times))
                size *= 2;
        r = reserve((void **) &s->table, &s->allocated_table, size, sizeof(*s->table));
        if (r < 0)
                return r;
        memset(s->table, 0xff, size * sizeof(*s->table));
        for (size_t i = 0; i < pairs(times); i++) {
                size_t at = hash_text(field(times, i)) & (size - 1);

                while (s->table[at] != NONE)
                        at = (at + 1) & (size - 1);
                s->table[at] = (uint32_t) i;
        }
        *ret_mask = size - 1;
        return 0;
}

/* Where in `times` the field is. An entry that was found is marked by its highest bit, so that the others are known to
 * be without a partner. */
#define FOUND (1u << 31)
static uint32_t find_in_table(OrderbookSide *s, size_t mask, const redisReply *times, OrderbookText name) {
        for (size_t at = hash_text(name) & mask; s->table[at] != NONE; at = (at + 1) & mask) {
                uint32_t i = s->table[at] & ~FOUND;

                if (same(field(times, i), name)) {
                        s->table[at] |= FOUND;
                        return i;
                }
        }
        return NONE;
}

/* price.s NULL: it is the price itself. */
static int check_number(OrderbookText text, const char *what, OrderbookText price, double *ret, Error *reterr) {
        if (orderbook_number(text, ret) >= 0)
                return 0;
        (void) error_set(reterr, ERROR_NEVER, -EBADMSG, "the %s \"%.60s\"%s is no number", what, text.s,
                         text.n > 60 ? "…" : "");
        if (price.s)
                (void) error_prefix(reterr, "at price \"%.60s\"", price.s);
        return -EBADMSG;
}

int orderbook_level_check(OrderbookLevel *l, unsigned flags, Error *reterr) {
        const OrderbookText none = { NULL, 0 };
        double number;
        int r;

        r = check_number(l->size, "size", l->price, &number, reterr);
        if (r < 0)
                return r;
        if (flags & ORDERBOOK_NUMBERS) {
                r = check_number(l->price, "price", none, &l->price_number, reterr);
                if (r >= 0)
                        r = check_number(l->updated, "time", l->price, &number, reterr);
                if (r < 0)
                        return r;
        }
        if (orderbook_is_negative(l->size))
                return 0;
        return (flags & ORDERBOOK_KEEP_ZEROS) || l->size.n != 1 || l->size.s[0] != '0';
}

static int add_level(OrderbookSide *s, OrderbookLevel level, unsigned flags, Error *reterr) {
        int r = orderbook_level_check(&level, flags, reterr);

        if (r > 0)
                s->levels[s->n++] = level;
        return r < 0 ? r : 0;
}

static bool fields_match(const redisReply *sizes, const redisReply *times) {
        if (pairs(sizes) != pairs(times))
                return false;
        for (size_t i = 0; i < pairs(sizes); i++)
                if (!same(field(sizes, i), field(times, i)))
                        return false;
        return true;
}

static int join(OrderbookSide *s, const redisReply *sizes, const redisReply *times, unsigned flags, Error *reterr) {
        size_t mask = 0;
        int r;

        if (reserve((void **) &s->sizes_only, &s->allocated_only[0], pairs(sizes), sizeof(*s->sizes_only)) < 0 ||
            reserve((void **) &s->times_only, &s->allocated_only[1], pairs(times), sizeof(*s->times_only)) < 0 ||
            build_table(s, times, &mask) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu levels", pairs(sizes));
        for (size_t i = 0; i < pairs(sizes); i++) {
                OrderbookText name = field(sizes, i);
                uint32_t at = find_in_table(s, mask, times, name);

                if (at == NONE) {
                        s->sizes_only[s->n_sizes_only++] = name;
                        continue;
                }
                r = add_level(s,
                              (OrderbookLevel){ .price = name, .size = value(sizes, i), .updated = value(times, at) },
                              flags, reterr);
                if (r < 0)
                        return r;
        }
        for (size_t at = 0; at <= mask; at++)
                if (s->table[at] != NONE && !(s->table[at] & FOUND))
                        s->times_only[s->n_times_only++] = field(times, s->table[at]);
        return 0;
}

static bool is_hash(const redisReply *r) {
        if (!r || r->type != REDIS_REPLY_ARRAY || r->elements % 2 != 0 || r->elements / 2 >= FOUND)
                return false;
        for (size_t i = 0; i < r->elements; i++)
                if (!r->element[i] || r->element[i]->type != REDIS_REPLY_STRING)
                        return false;
        return true;
}

int orderbook_side_parse(OrderbookSide *s, const redisReply *sizes, const redisReply *times, unsigned flags,
                         Error *reterr) {
        int r;

        s->n = s->beyond = s->n_sizes_only = s->n_times_only = 0;
        if (!is_hash(sizes) || !is_hash(times))
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the reply to HGETALL is no hash");
        if (reserve((void **) &s->levels, &s->allocated, pairs(sizes), sizeof(*s->levels)) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu levels", pairs(sizes));
        if (!fields_match(sizes, times))
                return join(s, sizes, times, flags, reterr);
        for (size_t i = 0; i < pairs(sizes); i++) {
                r = add_level(s,
                              (OrderbookLevel){
                                      .price = field(sizes, i), .size = value(sizes, i), .updated = value(times, i) },
                              flags, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Whether a comes before b; 0 for equal prices. */
static int compare_prices(const OrderbookLevel *a, const OrderbookLevel *b, OrderbookSideName side) {
        int r = (a->price_number > b->price_number) - (a->price_number < b->price_number);

        return side == ORDERBOOK_BUY ? -r : r;
}

const OrderbookLevel *orderbook_side_best(const OrderbookSide *s, OrderbookSideName side) {
        const OrderbookLevel *best = NULL;

        for (size_t i = 0; i < s->n; i++)
                if (!best || compare_prices(s->levels + i, best, side) < 0)
                        best = s->levels + i;
        return best;
}

/* Levels lie in memory in the order of the reply, so that of equal prices the address decides; they are sorted through
 * pointers for that reason. */
static int compare_bids(const void *a, const void *b) {
        const OrderbookLevel *const *x = a, *const *y = b;
        int r = compare_prices(*x, *y, ORDERBOOK_BUY);

        return r != 0 ? r : (*x > *y) - (*x < *y);
}

static int compare_asks(const void *a, const void *b) {
        const OrderbookLevel *const *x = a, *const *y = b;
        int r = compare_prices(*x, *y, ORDERBOOK_SELL);

        return r != 0 ? r : (*x > *y) - (*x < *y);
}

int orderbook_side_sort(OrderbookSide *s, OrderbookSideName side) {
        _cleanup_free_ const OrderbookLevel **order = NULL;
        OrderbookLevel *sorted;

        if (s->n < 2)
                return 0;
        order = calloc(s->n, sizeof(*order));
        sorted = reallocarray(NULL, s->allocated, sizeof(*sorted));
        if (!order || !sorted) {
                free(sorted);
                return -ENOMEM;
        }
        for (size_t i = 0; i < s->n; i++)
                order[i] = s->levels + i;
        qsort(order, s->n, sizeof(*order), side == ORDERBOOK_BUY ? compare_bids : compare_asks);
        for (size_t i = 0; i < s->n; i++)
                sorted[i] = *order[i];
        free(s->levels);
        s->levels = sorted;
        return 0;
}
