#pragma once

/* Lists of words that user names are made of. Their order is part of every name (compliance specification, section
 * 4.2). No shared state. */

#include "common/error.h"
#include "common/util.h"

typedef struct WordList {
        char **words;
        size_t n;
        char sha256[65]; /* of the text it was read from, lower-case hex */
} WordList;

void word_list_done(WordList *l);
#define _cleanup_word_list_ _cleanup_(word_list_done)

/* A JSON array of strings, or one word a line (blank lines do not count). Words are 1 to 64 letters, digits, `-` or `_`
 * of ASCII. `source` is for errors, which name line or element. 0, -EBADMSG or -ENOMEM. */
int word_list_parse(const char *source, const char *text, size_t length, WordList *ret, Error *reterr);
/* The same of a regular file of up to 1 MiB. */
int word_list_load(const char *path, WordList *ret, Error *reterr);

/* words/adjectives.txt and words/nouns.txt as they were when this was built. */
extern const char word_list_builtin_adjectives[];
extern const char word_list_builtin_nouns[];
