#pragma once

/* Exact decimals: GMP integer times a power of ten. The rules are those of the market specification, section 2:
 * + - * exact; / rounded to `places` (20 in the original) half away from zero; output "fixed" or "short".
 * A Decimal is embedded (`_cleanup_decimal_ Decimal d = DECIMAL_INIT;`) and owned by one thread at a time. */

#include <gmp.h>

#include "common/util.h"

#define DECIMAL_DIVISION_PLACES 20
/* Longest text accepted and largest exponent magnitude: GMP aborts the process when memory runs out. */
#define DECIMAL_MAX_TEXT 4096
#define DECIMAL_MAX_EXPONENT 10000

typedef struct Decimal {
        mpz_t coefficient;
        uint32_t scale; /* value = coefficient / 10^scale; normalised: no trailing zero in coefficient if scale > 0 */
        bool initialized;
} Decimal;

#define DECIMAL_INIT ((Decimal){ 0 })
void decimal_done(Decimal *d);
#define _cleanup_decimal_ _cleanup_(decimal_done)

/* Grammar: optional '-', digits[.digits] or .digits, optional exponent. No '+', blanks, NaN, Infinity, empty string.
 * Returns 0, -EINVAL (not a number), -ERANGE (too long or exponent too large). */
int decimal_parse(Decimal *d, const char *text);
int decimal_parse_n(Decimal *d, const char *text, size_t length);
void decimal_set_int(Decimal *d, int64_t value);
void decimal_set(Decimal *d, const Decimal *value);

/* ret may be an operand. add/sub/mul return 0, or -ERANGE when the result would pass the size limits. */
int decimal_add(Decimal *ret, const Decimal *a, const Decimal *b);
int decimal_sub(Decimal *ret, const Decimal *a, const Decimal *b);
int decimal_mul(Decimal *ret, const Decimal *a, const Decimal *b);
/* -EDOM for division by zero. */
int decimal_div(Decimal *ret, const Decimal *a, const Decimal *b, uint32_t places);
/* 10^n; for n < 0 it is 1 / 10^|n| under the 20-place rule, so 10^-21 and below are 0. */
int decimal_pow10(Decimal *ret, int n);

typedef enum DecimalRounding { DECIMAL_HALF_AWAY, DECIMAL_TRUNCATE } DecimalRounding;
void decimal_round(Decimal *ret, const Decimal *a, uint32_t places, DecimalRounding rounding);
int decimal_compare(const Decimal *a, const Decimal *b); /* -1, 0, 1 */
int decimal_sign(const Decimal *a);
double decimal_to_double(const Decimal *a); /* nearest double */

/* "fixed": plain notation, no trailing zeros, zero is "0". Newly allocated, or NULL when out of memory. */
char *decimal_to_fixed(const Decimal *a);
/* "short": like fixed, but exponent form when the decimal exponent is <= -7 or >= 21 ("1.25e-7", "1e+21"). */
char *decimal_to_short(const Decimal *a);
