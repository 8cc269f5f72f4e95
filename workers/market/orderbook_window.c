#include "workers/market/orderbook_window.h"

/* The texts of a level of a window are one block, at the beginning of which is the price. */
static void level_free(OrderbookLevel *l) {
        free((char *) l->price.s);
        *l = (OrderbookLevel){ 0 };
}

static void clear(OrderbookWindow *w) {
        for (size_t i = 0; i < w->side->n; i++)
                level_free(w->side->levels + i);
        w->side->n = w->side->beyond = w->seen = 0;
        w->full = false;
}

void orderbook_window_done(OrderbookWindow *w) {
        clear(w);
        level_free(&w->bound);
}

static int compare_texts(OrderbookText a, OrderbookText b) {
        int r = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);

        return r != 0 ? r : (a.n > b.n) - (a.n < b.n);
}

/* A total order, so that what comes behind a level does not depend on the order in which levels are shown. */
static int compare_asks(const void *a, const void *b) {
        const OrderbookLevel *x = a, *y = b;
        int r = (x->price_number > y->price_number) - (x->price_number < y->price_number);

        return r != 0 ? r : compare_texts(x->price, y->price);
}

static int compare_bids(const void *a, const void *b) {
        const OrderbookLevel *x = a, *y = b;
        int r = (x->price_number < y->price_number) - (x->price_number > y->price_number);

        return r != 0 ? r : compare_texts(x->price, y->price);
}

static int compare(const OrderbookWindow *w, const OrderbookLevel *a, const OrderbookLevel *b) {
        return w->name == ORDERBOOK_BUY ? compare_bids(a, b) : compare_asks(a, b);
}

static void put(char **to, OrderbookText *text) {
        (void) memcpy(*to, text->s, text->n);
        (*to)[text->n] = '\0';
        text->s = *to;
        *to += text->n + 1;
}

static int copy_level(const OrderbookLevel *l, OrderbookLevel *ret) {
        char *texts = malloc(l->price.n + l->size.n + l->updated.n + 3);

        if (!texts)
                return -ENOMEM;
        *ret = *l;
        put(&texts, &ret->price);
        put(&texts, &ret->size);
        put(&texts, &ret->updated);
        return 0;
}

/* Sorts, takes out what is there twice, and what is behind the best. */
static void trim(OrderbookWindow *w) {
        OrderbookSide *s = w->side;
        size_t n = 0;

        if (s->n > 0)
                qsort(s->levels, s->n, sizeof(*s->levels), w->name == ORDERBOOK_BUY ? compare_bids : compare_asks);
        for (size_t i = 0; i < s->n; i++) {
                if (n > 0 && compare(w, s->levels + n - 1, s->levels + i) == 0) {
                        level_free(s->levels + i);
                        w->seen--;
                } else if (n == ORDERBOOK_WINDOW) {
                        level_free(s->levels + i);
                        w->full = true;
                } else
                        s->levels[n++] = s->levels[i];
        }
        s->n = n;
}

int orderbook_window_add(OrderbookWindow *w, const OrderbookLevel *l) {
        OrderbookSide *s = w->side;
        int r;

        if (w->bound.price.s && compare(w, l, &w->bound) <= 0)
                return 0;
        if (w->full) {
                r = compare(w, l, s->levels + ORDERBOOK_WINDOW - 1);
                w->seen += r != 0;
                if (r >= 0)
                        return 0;
        } else
                w->seen++;
        if (!s->levels) {
                s->allocated = (size_t) 2 * ORDERBOOK_WINDOW;
                s->levels = calloc(s->allocated, sizeof(*s->levels));
                if (!s->levels)
                        return -ENOMEM;
        }
        r = copy_level(l, s->levels + s->n);
        if (r < 0)
                return r;
        if (++s->n == s->allocated)
                trim(w);
        return 0;
}

void orderbook_window_finish(OrderbookWindow *w) {
        trim(w);
        w->side->beyond = w->seen - w->side->n;
}

void orderbook_window_next(OrderbookWindow *w, size_t n) {
        if (n > 0) {
                level_free(&w->bound);
                w->bound = w->side->levels[n - 1];
                w->side->levels[n - 1] = (OrderbookLevel){ 0 };
        }
        clear(w);
}
