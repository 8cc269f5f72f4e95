/* GMP aborts the process when it cannot allocate: so every size is bounded before GMP is asked, and a number that
 * would pass the bound is refused with -ERANGE. Coefficients have at most MAX_BITS (some 100,000 digits, 41 KiB). */

#include <assert.h>
#include <stdio.h>

#include "common/decimal.h"

#define MAX_SCALE 100000
#define MAX_BITS 332193 /* of 10^100000 */

static const mp_limb_t no_limb = 0;
static const mpz_t zero_coefficient = MPZ_ROINIT_N((mp_limb_t *) &no_limb, 0);

/* DECIMAL_INIT reads as zero. */
static mpz_srcptr coefficient(const Decimal *d) {
        return d->initialized ? d->coefficient : zero_coefficient;
}

static void decimal_ready(Decimal *d) {
        if (d->initialized)
                return;
        mpz_init(d->coefficient);
        d->scale = 0;
        d->initialized = true;
}

void decimal_done(Decimal *d) {
        if (d->initialized)
                mpz_clear(d->coefficient);
        *d = DECIMAL_INIT;
}

static void mpz_clear_p(mpz_t *z) {
        mpz_clear(*z);
}
#define _cleanup_mpz_ _cleanup_(mpz_clear_p)

/* Takes the value of z (which is left with anything) times 10^-scale, without trailing zeros behind the point. */
static int decimal_store(Decimal *ret, mpz_t z, uint32_t scale) {
        _cleanup_mpz_ mpz_t reduced, power;
        mp_bitcnt_t zeros;

        mpz_init(reduced);
        mpz_init(power);
        if (scale > 0 && mpz_sgn(z) == 0)
                scale = 0;
        else if (scale > 0 && mpz_divisible_ui_p(z, 10)) {
                mpz_set_ui(power, 10);
                zeros = mpz_remove(reduced, z, power);
                if (zeros > scale) { /* those before the point stay */
                        mpz_ui_pow_ui(power, 10, zeros - scale);
                        mpz_mul(reduced, reduced, power);
                        zeros = scale;
                }
                mpz_swap(z, reduced);
                scale -= (uint32_t) zeros;
        }
        if (scale > MAX_SCALE || mpz_sizeinbase(z, 2) > MAX_BITS)
                return -ERANGE;
        decimal_ready(ret);
        mpz_swap(ret->coefficient, z);
        ret->scale = scale;
        return 0;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* The exponent behind 'e'. It saturates, so that any length of it is only out of range. */
static int parse_exponent(const char *p, const char *end, long *ret) {
        bool negative = false;
        long value = 0;

        if (p < end && (*p == '-' || *p == '+'))
                negative = *p++ == '-';
        if (p == end)
                return -EINVAL;
        for (; p < end; p++) {
                if (!is_digit(*p))
                        return -EINVAL;
                if (value <= DECIMAL_MAX_EXPONENT)
                        value = value * 10 + (*p - '0');
        }
        *ret = negative ? -value : value;
        return 0;
}

int decimal_parse_n(Decimal *d, const char *text, size_t length) {
        const char *p = text, *end = text + length;
        char digits[DECIMAL_MAX_TEXT + 1];
        size_t n = 0, fraction = 0;
        _cleanup_mpz_ mpz_t z, power;
        long exponent = 0, scale;
        int r;

        mpz_init(z);
        mpz_init(power);
        if (length > DECIMAL_MAX_TEXT)
                return -ERANGE;
        if (p < end && *p == '-')
                digits[n++] = *p++;
        for (; p < end && is_digit(*p); p++)
                digits[n++] = *p;
        if (p < end && *p == '.') {
                for (p++; p < end && is_digit(*p); p++, fraction++)
                        digits[n++] = *p;
                if (fraction == 0)
                        return -EINVAL;
        }
        if (n == 0 || !is_digit(digits[n - 1]))
                return -EINVAL;
        digits[n] = '\0';
        if (p < end && (*p == 'e' || *p == 'E')) {
                r = parse_exponent(p + 1, end, &exponent);
                if (r < 0)
                        return r;
        } else if (p < end)
                return -EINVAL;
        if (labs(exponent) > DECIMAL_MAX_EXPONENT)
                return -ERANGE;
        if (mpz_set_str(z, digits, 10) < 0)
                return -EINVAL;
        scale = (long) fraction - exponent;
        if (scale < 0) {
                mpz_ui_pow_ui(power, 10, (unsigned long) -scale);
                mpz_mul(z, z, power);
                scale = 0;
        }
        return decimal_store(d, z, (uint32_t) scale);
}

int decimal_parse(Decimal *d, const char *text) {
        return decimal_parse_n(d, text, strlen(text));
}

void decimal_set_int(Decimal *d, int64_t value) {
        decimal_ready(d);
        mpz_set_si(d->coefficient, value);
        d->scale = 0;
}

void decimal_set(Decimal *d, const Decimal *value) {
        decimal_ready(d);
        mpz_set(d->coefficient, coefficient(value));
        d->scale = value->scale;
}

/* z = coefficient of a, brought to `scale` (>= its own). */
static void scale_up(mpz_t z, const Decimal *a, uint32_t scale) {
        mpz_ui_pow_ui(z, 10, scale - a->scale);
        mpz_mul(z, z, coefficient(a));
}

static int add_or_sub(Decimal *ret, const Decimal *a, const Decimal *b,
                      void (*operation)(mpz_ptr, mpz_srcptr, mpz_srcptr)) {
        uint32_t scale = a->scale > b->scale ? a->scale : b->scale;
        _cleanup_mpz_ mpz_t x, y;

        mpz_init(x);
        mpz_init(y);
        scale_up(x, a, scale);
        scale_up(y, b, scale);
        operation(x, x, y);
        return decimal_store(ret, x, scale);
}

int decimal_add(Decimal *ret, const Decimal *a, const Decimal *b) {
        return add_or_sub(ret, a, b, mpz_add);
}

int decimal_sub(Decimal *ret, const Decimal *a, const Decimal *b) {
        return add_or_sub(ret, a, b, mpz_sub);
}

int decimal_mul(Decimal *ret, const Decimal *a, const Decimal *b) {
        _cleanup_mpz_ mpz_t z;

        /* No check before: the product of two bounded numbers is bounded (82 KiB), decimal_store looks at it. */
        mpz_init(z);
        mpz_mul(z, coefficient(a), coefficient(b));
        return decimal_store(ret, z, a->scale + b->scale);
}

int decimal_div(Decimal *ret, const Decimal *a, const Decimal *b, uint32_t places) {
        int64_t shift = (int64_t) places + b->scale - a->scale;
        _cleanup_mpz_ mpz_t n, d, power;
        bool negative;

        mpz_init(n); /* before any return: the cleanup attribute clears them */
        mpz_init(d);
        mpz_init(power);
        if (decimal_sign(b) == 0)
                return -EDOM;
        if (places > MAX_SCALE)
                return -ERANGE;
        negative = decimal_sign(a) * decimal_sign(b) < 0;
        mpz_abs(n, coefficient(a));
        mpz_abs(d, coefficient(b));
        mpz_ui_pow_ui(power, 10, (unsigned long) (shift < 0 ? -shift : shift));
        mpz_mul(shift < 0 ? d : n, shift < 0 ? d : n, power);
        /* half away from zero: floor((2n + d) / 2d) of the magnitudes */
        mpz_mul_2exp(n, n, 1);
        mpz_add(n, n, d);
        mpz_mul_2exp(d, d, 1);
        mpz_tdiv_q(n, n, d);
        if (negative)
                mpz_neg(n, n);
        return decimal_store(ret, n, places);
}

int decimal_pow10(Decimal *ret, int n) {
        _cleanup_mpz_ mpz_t z;

        mpz_init(z);
        if (n > DECIMAL_MAX_EXPONENT || n < -DECIMAL_MAX_EXPONENT)
                return -ERANGE;
        if (n >= 0)
                mpz_ui_pow_ui(z, 10, (unsigned long) n);
        else if (-n <= DECIMAL_DIVISION_PLACES)
                mpz_set_ui(z, 1);
        else
                n = 0; /* 10^-21 = 0.1 * 10^-20 rounds to 0, as does all below */
        return decimal_store(ret, z, n < 0 ? (uint32_t) -n : 0);
}

void decimal_round(Decimal *ret, const Decimal *a, uint32_t places, DecimalRounding rounding) {
        _cleanup_mpz_ mpz_t z, power;
        int r;

        mpz_init_set(z, coefficient(a));
        mpz_init(power);
        if (a->scale <= places) {
                decimal_set(ret, a);
                return;
        }
        mpz_ui_pow_ui(power, 10, a->scale - places);
        if (rounding == DECIMAL_HALF_AWAY) {
                /* doubled, so that the half is whole; truncation after adding it with z's sign */
                mpz_mul_2exp(z, z, 1);
                if (mpz_sgn(z) < 0)
                        mpz_sub(z, z, power);
                else
                        mpz_add(z, z, power);
                mpz_mul_2exp(power, power, 1);
        }
        mpz_tdiv_q(z, z, power);
        r = decimal_store(ret, z, places);
        assert(r == 0); /* it has fewer digits than a */
        (void) r;
}

int decimal_compare(const Decimal *a, const Decimal *b) {
        uint32_t scale = a->scale > b->scale ? a->scale : b->scale;
        _cleanup_mpz_ mpz_t x, y;
        int c;

        mpz_init(x);
        mpz_init(y);
        scale_up(x, a, scale);
        scale_up(y, b, scale);
        c = mpz_cmp(x, y);
        return (c > 0) - (c < 0);
}

int decimal_sign(const Decimal *a) {
        return mpz_sgn(coefficient(a));
}
