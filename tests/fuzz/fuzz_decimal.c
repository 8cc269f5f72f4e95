/* "A B": what parses prints as text that parses to the same value, and a quotient is within half a unit of the truth.
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/decimal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const Decimal *d, char *(*print)(const Decimal *) ) {
        _cleanup_decimal_ Decimal again = DECIMAL_INIT;
        _cleanup_free_ char *text = print(d);

        if (!text)
                abort();
        /* plain notation of a small exponent may be longer than what is accepted */
        if (decimal_parse(&again, text) == -ERANGE)
                return;
        if (decimal_compare(d, &again) != 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data, *blank = size > 0 ? memchr(text, ' ', size) : NULL;
        size_t length = blank ? (size_t) (blank - text) : size;
        _cleanup_decimal_ Decimal a = DECIMAL_INIT, b = DECIMAL_INIT, q = DECIMAL_INIT, two = DECIMAL_INIT,
                                  unit = DECIMAL_INIT;
        int r;

        if (decimal_parse_n(&a, text, length) < 0)
                return 0;
        round_trip(&a, decimal_to_fixed);
        round_trip(&a, decimal_to_short);
        (void) decimal_to_double(&a);
        if (!blank || decimal_parse_n(&b, blank + 1, size - length - 1) < 0)
                return 0;
        r = decimal_div(&q, &a, &b, DECIMAL_DIVISION_PLACES);
        if (r < 0) {
                if (r != -ERANGE && (r != -EDOM || decimal_sign(&b) != 0))
                        abort();
                return 0;
        }
        /* |a - q b| * 2 * 10^20 <= |b| */
        decimal_set_int(&two, decimal_sign(&b) < 0 ? -2 : 2);
        if (decimal_mul(&q, &q, &b) < 0 || decimal_sub(&q, &a, &q) < 0 ||
            decimal_pow10(&unit, DECIMAL_DIVISION_PLACES) < 0 || decimal_mul(&q, &q, &unit) < 0 ||
            decimal_mul(&q, &q, &two) < 0)
                return 0;
        if (decimal_sign(&q) * decimal_sign(&b) < 0) {
                decimal_set_int(&two, -1);
                if (decimal_mul(&q, &q, &two) < 0)
                        abort();
        }
        if ((decimal_sign(&b) > 0 && decimal_compare(&q, &b) > 0) ||
            (decimal_sign(&b) < 0 && decimal_compare(&q, &b) < 0))
                abort();
        return 0;
}
