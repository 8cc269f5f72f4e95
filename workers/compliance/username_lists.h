#pragma once

/* Which words names are made of: the files that settings name, or the built-in lists. */

#include "workers/compliance/username.h"
#include "workers/task.h"

typedef struct UsernameLists {
        WordList adjectives, nouns;
        bool builtin; /* neither list was named */
} UsernameLists;

void username_lists_done(UsernameLists *l);
/* Says at info which lists they are, by their SHA-256, at the first run of the process and whenever they have changed.
 */
int username_lists_load(TaskContext *ctx, UsernameLists *ret, Error *reterr);
/* Refuses built-in lists where the table has a name that they do not give: a fleet that takes over from the original
 * service must name its lists, or people would be given names by another rule than theirs. All names are looked at, one
 * at a time, unless as many of them as there are have been already, by whatever host. */
int username_lists_check(TaskContext *ctx, const UsernameLists *l, Error *reterr);
/* Names of these lists were given, in the transaction that is open: so many more have been looked at. */
int username_lists_add(TaskContext *ctx, const UsernameLists *l, size_t n, Error *reterr);
