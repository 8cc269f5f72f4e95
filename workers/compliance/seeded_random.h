#pragma once

/* A repeatable generator: RC4 whose first 256 bytes are dropped, seeded with a text, and draws of 53 bits. Format:
 * seedrandom 3.0.5 with a string seed, by the compliance specification, section 4.2. No shared state. */

#include "common/util.h"

#define SEEDED_RANDOM_MAX_SEED 255 /* longer seeds would be mixed first */

typedef struct SeededRandom {
        uint8_t state[256];
        uint8_t i, j;
} SeededRandom;

/* The bytes of `seed`, 1 to SEEDED_RANDOM_MAX_SEED of them, are the key. */
void seeded_random_init(SeededRandom *r, const char *seed, size_t length);
uint8_t seeded_random_byte(SeededRandom *r);
/* In [0, 1). */
double seeded_random_draw(SeededRandom *r);
