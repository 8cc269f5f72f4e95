/* Drawing and writing names; see the header. */

#include <stdio.h>

#include "workers/compliance/seeded_random.h"
#include "workers/compliance/username.h"

static const char suffix_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static size_t draw_index(SeededRandom *r, size_t n) {
        return (size_t) (seeded_random_draw(r) * (double) n);
}

int username_draw(const UsernameStyle *style, const char *address, unsigned subaccount_number, unsigned nonce,
                  UsernameDraw *ret) {
        char seed[SEEDED_RANDOM_MAX_SEED + 1];
        SeededRandom r;
        int n;

        n = snprintf(seed, sizeof(seed), "%s/%u/%u", address, subaccount_number, nonce);
        if (n < 0 || (size_t) n >= sizeof(seed))
                return -EINVAL;
        seeded_random_init(&r, seed, (size_t) n);
        ret->adjective = draw_index(&r, style->adjectives->n);
        ret->noun = draw_index(&r, style->nouns->n);
        for (unsigned i = 0; i < style->digits && i < USERNAME_MAX_DIGITS; i++)
                ret->suffix[i] = (unsigned char) draw_index(&r, sizeof(suffix_alphabet) - 1);
        return 0;
}

static char upper(char c) {
        return c >= 'a' && c <= 'z' ? (char) (c - 'a' + 'A') : c;
}

static char *words_of(const UsernameStyle *style, const UsernameDraw *d) {
        const char *adjective = style->adjectives->words[d->adjective], *noun = style->nouns->words[d->noun];

        return str_printf("%c%s%c%s", upper(*adjective), adjective + 1, upper(*noun), noun + 1);
}

int username_make(const UsernameStyle *style, const char *address, unsigned subaccount_number, unsigned nonce,
                  char **ret) {
        char suffix[USERNAME_MAX_DIGITS + 1] = "";
        _cleanup_free_ char *words = NULL;
        UsernameDraw d;
        int r;

        r = username_draw(style, address, subaccount_number, nonce, &d);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < style->digits && i < USERNAME_MAX_DIGITS; i++)
                suffix[i] = suffix_alphabet[d.suffix[i]];
        words = words_of(style, &d);
        *ret = words ? str_printf("%s%s", words, suffix) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static bool is_suffix(const char *text) {
        return text[strspn(text, suffix_alphabet)] == '\0';
}

bool username_is_of(const UsernameStyle *style, const char *address, unsigned nonces, const char *name) {
        for (unsigned nonce = 0; nonce < nonces; nonce++) {
                _cleanup_free_ char *words = NULL;
                UsernameDraw d;

                if (username_draw(style, address, 0, nonce, &d) < 0)
                        return false;
                words = words_of(style, &d);
                if (words && strncmp(name, words, strlen(words)) == 0 && is_suffix(name + strlen(words)))
                        return true;
        }
        return false;
}
