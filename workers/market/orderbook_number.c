/* Numbers in order books: thousands in each book, nearly all with few digits. */

#include "workers/market/orderbook.h"

#define EXACT_DIGITS 15 /* below 2^53 */

static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Plain notation with at most 15 digits: an integer and a power of ten that are both exact as doubles have the nearest
 * double as their quotient (Clinger 1990). */
static bool plain_number(OrderbookText text, double *ret) {
        const char *p = text.s, *end = text.s + text.n;
        uint64_t digits = 0;
        size_t n = 0, places = 0;
        bool negative = p < end && *p == '-';

        p += negative;
        for (; p < end && is_digit(*p) && n < EXACT_DIGITS; p++, n++)
                digits = digits * 10 + (uint64_t) (*p - '0');
        if (p < end && *p == '.') {
                p++;
                /* the grammar wants a digit behind the point */
                for (; p < end && is_digit(*p) && n < EXACT_DIGITS; p++, n++, places++)
                        digits = digits * 10 + (uint64_t) (*p - '0');
                if (places == 0)
                        return false;
        }
        if (p != end || n == 0)
                return false;
        *ret = (double) digits / powers[places];
        if (negative)
                *ret = -*ret;
        return true;
}

int orderbook_number(OrderbookText text, double *ret) {
        _cleanup_decimal_ Decimal d = DECIMAL_INIT;
        int r;

        if (plain_number(text, ret))
                return 0;
        r = decimal_parse_n(&d, text.s, text.n);
        if (r < 0)
                return r;
        *ret = decimal_to_double(&d);
        return 0;
}

bool orderbook_is_negative(OrderbookText text) {
        if (text.n == 0 || text.s[0] != '-')
                return false;
        for (size_t i = 1; i < text.n && text.s[i] != 'e' && text.s[i] != 'E'; i++)
                if (text.s[i] >= '1' && text.s[i] <= '9')
                        return true;
        return false;
}
