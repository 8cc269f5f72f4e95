/* Decimals as text and as doubles. */

#include <stdio.h>

#include "common/decimal.h"

/* Sign apart, digits of the coefficient without leading zeros ("0" for zero). NULL when out of memory. Not
 * mpz_get_str's own allocation: that would abort. */
static char *digits_of(const Decimal *a, size_t *ret_length) {
        char *s, *start;
        size_t size = a->initialized ? mpz_sizeinbase(a->coefficient, 10) + 2 : 2;

        s = malloc(size);
        if (!s)
                return NULL;
        if (!a->initialized)
                memcpy(s, "0", sizeof("0"));
        else
                (void) mpz_get_str(s, 10, a->coefficient);
        start = *s == '-' ? s + 1 : s;
        *ret_length = strlen(start);
        memmove(s, start, *ret_length + 1);
        return s;
}

static void append_zeros(Buffer *b, size_t n) {
        while (n-- > 0)
                (void) buffer_append(b, "0", 1);
}

char *decimal_to_fixed(const Decimal *a) {
        _cleanup_free_ char *digits = NULL;
        _cleanup_buffer_ Buffer b = { 0 };
        size_t length;

        digits = digits_of(a, &length);
        if (!digits)
                return NULL;
        if (decimal_sign(a) < 0)
                (void) buffer_append(&b, "-", 1);
        if (a->scale == 0)
                (void) buffer_append(&b, digits, length);
        else if (length > a->scale) {
                (void) buffer_append(&b, digits, length - a->scale);
                (void) buffer_append(&b, ".", 1);
                (void) buffer_append(&b, digits + length - a->scale, a->scale);
        } else {
                (void) buffer_append(&b, "0.", 2);
                append_zeros(&b, a->scale - length);
                (void) buffer_append(&b, digits, length);
        }
        return buffer_take(&b);
}

char *decimal_to_short(const Decimal *a) {
        _cleanup_free_ char *digits = NULL;
        _cleanup_buffer_ Buffer b = { 0 };
        long exponent;
        size_t length;

        digits = digits_of(a, &length);
        if (!digits)
                return NULL;
        exponent = (long) length - 1 - (long) a->scale;
        if (decimal_sign(a) == 0 || (exponent > -7 && exponent < 21))
                return decimal_to_fixed(a);
        while (length > 1 && digits[length - 1] == '0')
                length--;
        if (decimal_sign(a) < 0)
                (void) buffer_append(&b, "-", 1);
        (void) buffer_append(&b, digits, 1);
        if (length > 1) {
                (void) buffer_append(&b, ".", 1);
                (void) buffer_append(&b, digits + 1, length - 1);
        }
        (void) buffer_printf(&b, "e%c%ld", exponent < 0 ? '-' : '+', labs(exponent));
        return buffer_take(&b);
}

/* strtod of glibc is correctly rounded for any length; "123e-4" has no radix character, so no locale is in it. */
double decimal_to_double(const Decimal *a) {
        _cleanup_free_ char *text = NULL;
        size_t size = a->initialized ? mpz_sizeinbase(a->coefficient, 10) + 16 : 2;

        if (!a->initialized)
                return 0;
        text = malloc(size);
        if (!text)
                return mpz_get_d(a->coefficient) /
                       __builtin_pow(10, a->scale); /* near, and GMP would have aborted first */
        (void) mpz_get_str(text, 10, a->coefficient);
        (void) snprintf(text + strlen(text), size - strlen(text), "e-%u", a->scale);
        return strtod(text, NULL);
}
