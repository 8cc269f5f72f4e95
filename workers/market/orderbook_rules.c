/* What becomes of a crossed book. There are two rules, which differ on purpose: the one that readers show books by
 * looks at times and sizes, as doubles; the one that levels are deleted by looks at times alone and compares prices
 * exactly. */

#include "workers/market/orderbook.h"

static double number(OrderbookText text) {
        double d = 0;

        (void) orderbook_number(text, &d); /* checked when the book was parsed */
        return d;
}

OrderbookCut orderbook_read_rule(const Orderbook *b) {
        const OrderbookSide *bids = &b->sides[ORDERBOOK_BUY], *asks = &b->sides[ORDERBOOK_SELL];
        OrderbookCut cut = { 0 };

        while (cut.bids < bids->n && cut.asks < asks->n) {
                const OrderbookLevel *bid = bids->levels + cut.bids, *ask = asks->levels + cut.asks;

                if (bid->price_number < ask->price_number)
                        break;
                /* the "or" lets a larger but older bid win; every reader of the books has it so */
                if (number(bid->updated) > number(ask->updated) || number(bid->size) > number(ask->size))
                        cut.asks++;
                else
                        cut.bids++;
        }
        return cut;
}

/* Nearest doubles that differ are in the order of their decimals. */
static bool crosses(const OrderbookLevel *bid, const OrderbookLevel *ask) {
        _cleanup_decimal_ Decimal x = DECIMAL_INIT, y = DECIMAL_INIT;

        if (bid->price_number != ask->price_number)
                return bid->price_number > ask->price_number;
        return decimal_parse_n(&x, bid->price.s, bid->price.n) >= 0 &&
               decimal_parse_n(&y, ask->price.s, ask->price.n) >= 0 && decimal_compare(&x, &y) >= 0;
}

OrderbookCut orderbook_uncross_rule(const Orderbook *b) {
        const OrderbookSide *bids = &b->sides[ORDERBOOK_BUY], *asks = &b->sides[ORDERBOOK_SELL];
        OrderbookCut cut = { 0 };

        while (cut.bids < bids->n && cut.asks < asks->n) {
                const OrderbookLevel *bid = bids->levels + cut.bids, *ask = asks->levels + cut.asks;

                if (!crosses(bid, ask))
                        break;
                if (number(bid->updated) > number(ask->updated))
                        cut.asks++;
                else
                        cut.bids++;
        }
        return cut;
}

bool orderbook_cut_is_final(const Orderbook *b, OrderbookCut cut) {
        const OrderbookSide *bids = &b->sides[ORDERBOOK_BUY], *asks = &b->sides[ORDERBOOK_SELL];

        return (cut.bids < bids->n || bids->beyond == 0) && (cut.asks < asks->n || asks->beyond == 0);
}

static int middle(const OrderbookLevel *bid, const OrderbookLevel *ask, char **ret, Error *reterr) {
        _cleanup_decimal_ Decimal x = DECIMAL_INIT, y = DECIMAL_INIT;
        int r;

        r = decimal_parse_n(&x, bid->price.s, bid->price.n);
        if (r >= 0)
                r = decimal_parse_n(&y, ask->price.s, ask->price.n);
        if (r >= 0)
                r = decimal_add(&x, &x, &y);
        decimal_set_int(&y, 2);
        if (r >= 0)
                r = decimal_div(&x, &x, &y, DECIMAL_DIVISION_PLACES);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the middle of %.60s and %.60s cannot be computed",
                                 bid->price.s, ask->price.s);
        *ret = decimal_to_fixed(&x);
        return *ret ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a price");
}

int orderbook_mid_price(Orderbook *b, char **ret, Error *reterr) {
        OrderbookSide *bids = &b->sides[ORDERBOOK_BUY], *asks = &b->sides[ORDERBOOK_SELL];
        const OrderbookLevel *bid = orderbook_side_best(bids, ORDERBOOK_BUY),
                             *ask = orderbook_side_best(asks, ORDERBOOK_SELL);
        OrderbookCut cut;

        *ret = NULL;
        if (!bid || !ask)
                return 0;
        if (bid->price_number < ask->price_number)
                return middle(bid, ask, ret, reterr);
        /* few books are crossed: only they are sorted */
        if (orderbook_side_sort(bids, ORDERBOOK_BUY) < 0 || orderbook_side_sort(asks, ORDERBOOK_SELL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu levels", bids->n + asks->n);
        cut = orderbook_read_rule(b);
        if (!orderbook_cut_is_final(b, cut)) {
                b->taken = cut;
                return ORDERBOOK_MORE;
        }
        if (cut.bids == bids->n || cut.asks == asks->n)
                return 0;
        return middle(bids->levels + cut.bids, asks->levels + cut.asks, ret, reterr);
}
