/* RC4-drop256 and draws of 53 significant bits; see the header. */

#include <math.h>

#include "workers/compliance/seeded_random.h"

uint8_t seeded_random_byte(SeededRandom *r) {
        uint8_t x, y;

        r->i++;
        x = r->state[r->i];
        r->j = (uint8_t) (r->j + x);
        y = r->state[r->j];
        r->state[r->i] = y;
        r->state[r->j] = x;
        return r->state[(uint8_t) (x + y)];
}

void seeded_random_init(SeededRandom *r, const char *seed, size_t length) {
        uint8_t j = 0;

        for (unsigned i = 0; i < 256; i++)
                r->state[i] = (uint8_t) i;
        for (unsigned i = 0; i < 256; i++) {
                uint8_t x = r->state[i];

                j = (uint8_t) (j + x + (uint8_t) seed[i % length]);
                r->state[i] = r->state[j];
                r->state[j] = x;
        }
        r->i = r->j = 0;
        for (unsigned i = 0; i < 256; i++)
                (void) seeded_random_byte(r);
}

/* Six bytes, and one more until the number has 53 bits; what is too much is shifted out again. n stays below 2^60, and
 * the sum below 2^53, so both are exact. */
double seeded_random_draw(SeededRandom *r) {
        uint64_t n = 0, x = 0;
        int exponent = 48;

        for (unsigned i = 0; i < 6; i++)
                n = n << 8 | seeded_random_byte(r);
        while (n < UINT64_C(1) << 52) {
                n = (n + x) << 8;
                exponent += 8;
                x = seeded_random_byte(r);
        }
        while (n >= UINT64_C(1) << 53) {
                /* half of an even number, as long as bits of the last byte are left */
                n >>= 1;
                exponent--;
                x >>= 1;
        }
        return ldexp((double) (n + x), -exponent);
}
