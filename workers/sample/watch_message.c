#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "workers/sample/watch.h"

/* The contents of a MarketMessage: field 1, length-delimited, which the producer writes first. */
static bool find_contents(const unsigned char *p, size_t length, const char **ret, size_t *ret_length) {
        size_t n = 0;
        unsigned shift = 0;

        if (length < 2 || *p != 0x0a)
                return false;
        for (p++, length--; length > 0 && shift < 35; shift += 7) {
                unsigned char byte = *p++;

                length--;
                n |= (size_t) (byte & 0x7f) << shift;
                if (byte & 0x80)
                        continue;
                *ret = (const char *) p;
                *ret_length = n;
                return n <= length;
        }
        return false;
}

static double number(const json_t *value) {
        return json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
}

/* Six digits that say something, all those before the point, and no exponent. */
static void append_number(Buffer *b, double v) {
        int digits = v != 0 && fabs(v) < 1000 ? 5 - (int) floor(log10(fabs(v))) : 0;
        char text[400];
        int n = snprintf(text, sizeof(text), "%.*f", digits < 12 ? digits : 12, v);

        while (digits > 0 && n > 1 && text[n - 1] == '0')
                n--;
        (void) buffer_append(b, text, (size_t) (n > 1 && text[n - 1] == '.' ? n - 1 : n));
}

static void append_market(Buffer *b, const char *ticker, const json_t *market) {
        const json_t *change = json_object_get(market, "priceChange24H"),
                     *volume = json_object_get(market, "volume24H"), *trades = json_object_get(market, "trades24H"),
                     *funding = json_object_get(market, "nextFundingRate"),
                     *interest = json_object_get(market, "openInterest");
        const char *between = ": ";

        (void) buffer_printf(b, "%.40s", ticker);
        if (change) {
                double d = number(change);

                (void) buffer_printf(b, "%sprice %s ", between, d < 0 ? "down" : "up");
                append_number(b, fabs(d));
                between = ", ";
        }
        if (volume) {
                (void) buffer_printf(b, "%svolume ", between);
                append_number(b, number(volume));
                (void) buffer_append_string(b, " USD");
                between = ", ";
        }
        if (trades) {
                (void) buffer_printf(b, "%s%.0f trades", between, number(trades));
                between = ", ";
        }
        if (funding) {
                (void) buffer_printf(b, "%sfunding ", between);
                append_number(b, 100 * number(funding));
                (void) buffer_append_string(b, " %");
                between = ", ";
        }
        if (interest) {
                (void) buffer_printf(b, "%sopen interest ", between);
                append_number(b, number(interest));
        }
}

char *watch_message_words(const void *value, size_t length) {
        _cleanup_buffer_ Buffer b = { 0 };
        const char *contents = NULL, *ticker;
        json_t *root, *trading, *market;
        size_t n = 0;

        if (!find_contents(value, length, &contents, &n))
                return NULL;
        root = json_loadb(contents, n, 0, NULL);
        trading = json_object_get(root, "trading");
        json_object_foreach (trading, ticker, market) {
                append_market(&b, ticker, market);
                break;
        }
        n = json_object_size(trading);
        if (n > 1)
                (void) buffer_printf(&b, ", and %zu more market%s", n - 1, n == 2 ? "" : "s");
        json_decref(root);
        return n > 0 && !buffer_failed(&b) ? buffer_take(&b) : NULL;
}
