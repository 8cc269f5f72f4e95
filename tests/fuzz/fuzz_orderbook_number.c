/* The quick reading of numbers accepts what common/decimal accepts, and gives the same double. */

#include <stdint.h>
#include <stdlib.h>

#include "workers/market/orderbook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        OrderbookText text = { (const char *) data, size };
        _cleanup_decimal_ Decimal d = DECIMAL_INIT;
        double number, expected;
        int r = orderbook_number(text, &number);

        if (decimal_parse_n(&d, text.s, text.n) != r)
                abort();
        if (r < 0)
                return 0;
        expected = decimal_to_double(&d);
        if (number != expected || orderbook_is_negative(text) != (decimal_sign(&d) < 0))
                abort();
        return 0;
}
