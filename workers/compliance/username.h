#pragma once

/* The name of an address: two words and a suffix, drawn by a generator that is seeded with address, subaccount number
 * and nonce (compliance specification, section 4.2). No shared state. */

#include "workers/compliance/word_list.h"

#define USERNAME_MAX_DIGITS 32

typedef struct UsernameStyle {
        const WordList *adjectives, *nouns;
        unsigned digits; /* of the suffix, at most USERNAME_MAX_DIGITS */
} UsernameStyle;

/* What is drawn: indices of the words and of each character of the suffix. */
typedef struct UsernameDraw {
        size_t adjective, noun;
        unsigned char suffix[USERNAME_MAX_DIGITS];
} UsernameDraw;

/* 0, or -EINVAL for an address of more than about 240 bytes. */
int username_draw(const UsernameStyle *style, const char *address, unsigned subaccount_number, unsigned nonce,
                  UsernameDraw *ret);
/* *ret is a new string. 0, -EINVAL as above or -ENOMEM. */
int username_make(const UsernameStyle *style, const char *address, unsigned subaccount_number, unsigned nonce,
                  char **ret);
/* Whether `name` is what these lists give for the address, whatever its suffix and up to `nonces`. */
bool username_is_of(const UsernameStyle *style, const char *address, unsigned nonces, const char *name);
