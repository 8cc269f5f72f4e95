/* orderbook_instrumentation: gauges of best prices and depth of every book, as it is and as readers are shown it
 * (market specification, section 12). Both come from one reading. */

#include "workers/market/market.h"
#include "workers/market/orderbook_read.h"

#define LOGGED_LEVELS 10
#define QUOTE_RESOLUTION (-6)

/* Price in subticks: price / 10^conversion exponent / 10^-6 * 10^resolution, by the division rule. */
static int subticks(const OrderbookMarket *m, const OrderbookLevel *l, double *ret) {
        _cleanup_decimal_ Decimal value = DECIMAL_INIT, power = DECIMAL_INIT;
        const int divisors[] = { m->conversion_exponent, QUOTE_RESOLUTION };
        int r;

        r = decimal_parse_n(&value, l->price.s, l->price.n);
        for (size_t i = 0; i < ELEMENTSOF(divisors) && r >= 0; i++) {
                r = decimal_pow10(&power, divisors[i]);
                if (r >= 0)
                        r = decimal_div(&value, &value, &power, DECIMAL_DIVISION_PLACES);
        }
        if (r >= 0)
                r = decimal_pow10(&power, m->resolution);
        if (r >= 0)
                r = decimal_mul(&value, &value, &power);
        if (r >= 0)
                *ret = decimal_to_double(&value);
        return r;
}

/* What is said of a book. */
typedef struct View {
        const char *prefix;
        double price[ORDERBOOK_SIDES], subticks[ORDERBOOK_SIDES]; /* of the best levels */
        size_t n[ORDERBOOK_SIDES];
        Buffer levels[ORDERBOOK_SIDES]; /* the best of them as JSON */
} View;

typedef struct Instrumentation {
        TaskContext *ctx;
        View whole; /* kept while a large book comes in windows */
} Instrumentation;

static void view_done(View *v) {
        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++)
                buffer_done(&v->levels[side]);
}

static void instrumentation_done(Instrumentation *i) {
        view_done(&i->whole);
}

static void gauge(TaskContext *ctx, const View *v, const char *name, double value, const MetricTag *ticker) {
        _cleanup_free_ char *full = str_printf("%s.%s", v->prefix, name);

        if (full)
                task_gauge(ctx, full, value, ticker, 1);
}

static void send_gauges(TaskContext *ctx, const OrderbookMarket *m, const View *v) {
        static const char *const names[ORDERBOOK_SIDES][3] = {
                { "best_bid_human", "best_bid_subticks", "num_bid_levels" },
                { "best_ask_human", "best_ask_subticks", "num_ask_levels" },
        };
        const MetricTag ticker = { "ticker", m->ticker };

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                if (v->n[side] == 0)
                        continue;
                gauge(ctx, v, names[side][0], v->price[side], &ticker);
                gauge(ctx, v, names[side][1], v->subticks[side], &ticker);
                gauge(ctx, v, names[side][2], (double) v->n[side], &ticker);
        }
}

static void tell(TaskContext *ctx, const OrderbookMarket *m, const View *v) {
        send_gauges(ctx, m, v);
        if (log_max_level() >= LOG_LEVEL_DEBUG)
                task_log(ctx, LOG_LEVEL_DEBUG, "orderbook-instrumentation#statOrderbook",
                         (const LogField[]){ LOG_STRING("BIDS", "bids", v->levels[ORDERBOOK_BUY].data),
                                             LOG_STRING("ASKS", "asks", v->levels[ORDERBOOK_SELL].data) },
                         2, "Track %s for %s", v->prefix, m->ticker);
}

/* The book without the first levels of each side. */
static int make_view(View *v, const OrderbookMarket *m, const Orderbook *b, OrderbookCut cut, Error *reterr) {
        const size_t skipped[ORDERBOOK_SIDES] = { cut.bids, cut.asks };

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                const OrderbookSide *s = &b->sides[side];
                const OrderbookSide rest = { .levels = s->levels + skipped[side], .n = s->n - skipped[side] };

                v->n[side] = rest.n + s->beyond;
                if (rest.n > 0 && subticks(m, rest.levels, &v->subticks[side]) < 0)
                        return error_set(reterr, ERROR_NEVER, -EBADMSG,
                                         "%s: price %.60s cannot be put into subticks (quantumConversionExponent %d, "
                                         "atomicResolution %d)",
                                         orderbook_side_to_string(side), rest.levels[0].price.s, m->conversion_exponent,
                                         m->resolution);
                if (rest.n > 0)
                        v->price[side] = rest.levels[0].price_number;
                if (log_max_level() >= LOG_LEVEL_DEBUG &&
                    orderbook_levels_append_json(&rest, LOGGED_LEVELS, &v->levels[side]) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", m->ticker);
        }
        return 0;
}

/* Whether the window holds all that is said of what the cut leaves. */
static bool suffices(const Orderbook *b, OrderbookCut cut) {
        const OrderbookSide *bids = &b->sides[ORDERBOOK_BUY], *asks = &b->sides[ORDERBOOK_SELL];

        return (bids->n - cut.bids >= LOGGED_LEVELS || bids->beyond == 0) &&
               (asks->n - cut.asks >= LOGGED_LEVELS || asks->beyond == 0);
}

static int on_book(const OrderbookMarket *m, Orderbook *b, void *userdata, Error *reterr) {
        _cleanup_(view_done) View shown = { .prefix = "uncrossed_orderbook" };
        Instrumentation *i = userdata;
        OrderbookCut cut;
        int r = 0;

        if (orderbook_side_sort(&b->sides[ORDERBOOK_BUY], ORDERBOOK_BUY) < 0 ||
            orderbook_side_sort(&b->sides[ORDERBOOK_SELL], ORDERBOOK_SELL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", m->ticker);
        if (b->window == 0) {
                view_done(&i->whole);
                i->whole = (View){ .prefix = "crossed_orderbook" };
                r = make_view(&i->whole, m, b, (OrderbookCut){ 0 }, reterr);
        }
        cut = orderbook_read_rule(b);
        if (r >= 0 && !suffices(b, cut)) {
                b->taken = cut;
                return ORDERBOOK_MORE;
        }
        if (r >= 0)
                r = make_view(&shown, m, b, cut, reterr);
        if (r < 0)
                return r;
        tell(i->ctx, m, &shown);
        tell(i->ctx, m, &i->whole);
        return 0;
}

int orderbook_instrumentation_run(TaskContext *ctx) {
        _cleanup_(instrumentation_done) Instrumentation i = { .ctx = ctx };
        _cleanup_orderbook_markets_ OrderbookMarkets l = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = orderbook_markets_read(ctx, orderbook_default_server(ctx), &l, &e);
        if (r >= 0)
                r = orderbook_read_all(ctx, &l, ORDERBOOK_NUMBERS, on_book, &i, &e);
        task_field_int(ctx, "markets", (int64_t) l.n);
        return r < 0 ? task_fail(ctx, &e) : 0;
}
