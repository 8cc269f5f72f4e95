/* Choice and check of the word lists. They are read in each run, which takes less than a millisecond, so that what is
 * logged is what is used. */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "sql/statements.h"
#include "workers/compliance/username_lists.h"

#define ADJECTIVES "compliance.usernames.adjectives"
#define NOUNS "compliance.usernames.nouns"
#define BUILTIN "compliance.usernames.builtin"
#define AT "subaccount-username-generator#runTask"

/* In persistent_cache: lists, by lists_text(), and how many names of them were looked at or given. */
#define CHECKED_KEY "usernamesChecked"
/* More attempts than a name of ours has needed. */
#define NONCES_CHECKED 100

void username_lists_done(UsernameLists *l) {
        word_list_done(&l->adjectives);
        word_list_done(&l->nouns);
        *l = (UsernameLists){ 0 };
}

static int load(const char *path, const char *builtin, WordList *ret, Error *reterr) {
        return path ? word_list_load(path, ret, reterr)
                    : word_list_parse("built-in list", builtin, strlen(builtin), ret, reterr);
}

static void announce(TaskContext *ctx, const UsernameLists *l) {
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        static char announced[2][65];
        bool known;

        (void) pthread_mutex_lock(&mutex);
        known = str_eq(announced[0], l->adjectives.sha256) && str_eq(announced[1], l->nouns.sha256);
        memcpy(announced[0], l->adjectives.sha256, sizeof(announced[0]));
        memcpy(announced[1], l->nouns.sha256, sizeof(announced[1]));
        (void) pthread_mutex_unlock(&mutex);
        if (known)
                return;
        task_log(ctx, LOG_LEVEL_INFO, AT,
                 (const LogField[]){ LOG_STRING("ADJECTIVES_SHA256", "adjectivesSha256", l->adjectives.sha256),
                                     LOG_STRING("NOUNS_SHA256", "nounsSha256", l->nouns.sha256) },
                 2, "User names are made of %s: %zu adjectives (sha256 %s), %zu nouns (sha256 %s)",
                 l->builtin ? "the built-in lists" : "the lists that settings name", l->adjectives.n,
                 l->adjectives.sha256, l->nouns.n, l->nouns.sha256);
}

int username_lists_load(TaskContext *ctx, UsernameLists *ret, Error *reterr) {
        const char *adjectives = settings_string(task_settings(ctx), ADJECTIVES);
        const char *nouns = settings_string(task_settings(ctx), NOUNS);
        _cleanup_(username_lists_done) UsernameLists l = { .builtin = str_empty(adjectives) && str_empty(nouns) };
        int r;

        if (str_empty(adjectives) != str_empty(nouns)) {
                r = error_set(reterr, ERROR_NEVER, -EINVAL, "%s is set, %s is not",
                              str_empty(nouns) ? ADJECTIVES : NOUNS, str_empty(nouns) ? NOUNS : ADJECTIVES);
                error_set_hint(reterr, "the two lists belong together: set both or neither");
                return r;
        }
        r = load(l.builtin ? NULL : adjectives, word_list_builtin_adjectives, &l.adjectives, reterr);
        if (r < 0)
                return l.builtin ? r : error_prefix(reterr, ADJECTIVES);
        r = load(l.builtin ? NULL : nouns, word_list_builtin_nouns, &l.nouns, reterr);
        if (r < 0)
                return l.builtin ? r : error_prefix(reterr, NOUNS);
        announce(ctx, &l);
        *ret = l;
        l = (UsernameLists){ 0 };
        return 0;
}

#define LISTS_TEXT_SIZE 130
/* Which lists they are, by their contents, without blanks. */
static const char *lists_text(const UsernameLists *l, char buf[static LISTS_TEXT_SIZE]) {
        (void) snprintf(buf, LISTS_TEXT_SIZE, "%s/%s", l->adjectives.sha256, l->nouns.sha256);
        return buf;
}

typedef struct Check {
        UsernameStyle style;
        uint64_t n;
        char *foreign; /* the first name that is none of these lists */
} Check;

static void check_done(Check *c) {
        free(c->foreign);
}

static int check_name(const PGresult *row, void *userdata) {
        const char *name = PQgetvalue(row, 0, 0);
        Check *c = userdata;

        c->n++;
        if (username_is_of(&c->style, PQgetvalue(row, 0, 1), NONCES_CHECKED, name))
                return 0;
        c->foreign = strdup(name);
        return -EINVAL; /* one is enough */
}

static int refuse(const char *foreign, Error *reterr) {
        int r = error_set(
                reterr, ERROR_NEVER, -EINVAL,
                "table subaccount_usernames has names that the built-in lists do not give (%s), and " ADJECTIVES
                " and " NOUNS " are not set",
                foreign);

        error_set_hint(reterr,
                       "set " ADJECTIVES " and " NOUNS
                       " (USERNAME_ADJECTIVES_FILE, USERNAME_NOUNS_FILE) to the lists that gave them; or set " BUILTIN
                       " = true if new names may come from other lists");
        return r;
}

/* *ret: how many names there are has been written by who has looked at so many. */
static int is_checked(TaskContext *ctx, const char *lists, bool *ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        _cleanup_free_ char *expected = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_compliance_count_names, 1, (const char *const[]){ CHECKED_KEY }, &result,
                       reterr);
        if (r < 0)
                return r;
        expected = str_printf("%s %s", lists, PQgetvalue(result, 0, 0));
        *ret = expected && str_eq(PQgetvalue(result, 0, 1), expected);
        return 0;
}

int username_lists_check(TaskContext *ctx, const UsernameLists *l, Error *reterr) {
        char lists[LISTS_TEXT_SIZE], text[LISTS_TEXT_SIZE + 24];
        const char *params[] = { CHECKED_KEY, text };
        _cleanup_(check_done) Check c = { .style = { &l->adjectives, &l->nouns, 0 } };
        _cleanup_error_ Error e = ERROR_INIT;
        bool checked;
        int r;

        if (!l->builtin || settings_bool(task_settings(ctx), BUILTIN))
                return 0;
        r = is_checked(ctx, lists_text(l, lists), &checked, reterr);
        if (r < 0 || checked)
                return r;
        r = task_query_each(ctx, PG_PRIMARY, &sql_compliance_read_names, 0, NULL, check_name, &c, &e);
        if (c.foreign)
                return refuse(c.foreign, reterr);
        if (r < 0) {
                error_move(reterr, &e);
                return r;
        }
        (void) snprintf(text, sizeof(text), "%s %" PRIu64, lists, c.n);
        return task_query(ctx, PG_PRIMARY, &sql_compliance_write_cache, ELEMENTSOF(params), params, NULL, reterr);
}

int username_lists_add(TaskContext *ctx, const UsernameLists *l, size_t n, Error *reterr) {
        char lists[LISTS_TEXT_SIZE], count[24];
        const char *params[] = { CHECKED_KEY, lists, count };

        if (!l->builtin || n == 0)
                return 0;
        (void) lists_text(l, lists);
        (void) snprintf(count, sizeof(count), "%zu", n);
        return task_query(ctx, PG_PRIMARY, &sql_compliance_add_checked_names, ELEMENTSOF(params), params, NULL, reterr);
}
