/* Choice and check of the word lists. They are read in each run, which takes less than a millisecond, so that what is
 * logged is what is used. */

#include <pthread.h>

#include "sql/statements.h"
#include "workers/compliance/username_lists.h"

#define ADJECTIVES "compliance.usernames.adjectives"
#define NOUNS "compliance.usernames.nouns"
#define BUILTIN "compliance.usernames.builtin"
#define AT "subaccount-username-generator#runTask"

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

int username_lists_check(TaskContext *ctx, const UsernameLists *l, Error *reterr) {
        const UsernameStyle style = { &l->adjectives, &l->nouns, 0 };
        _cleanup_pg_result_ PGresult *names = NULL;
        int r;

        if (!l->builtin || settings_bool(task_settings(ctx), BUILTIN))
                return 0;
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_read_some_names, 0, NULL, &names, reterr);
        if (r < 0)
                return r;
        for (int i = 0; i < PQntuples(names); i++) {
                const char *name = PQgetvalue(names, i, 0);

                if (username_is_of(&style, PQgetvalue(names, i, 1), NONCES_CHECKED, name))
                        continue;
                r = error_set(
                        reterr, ERROR_NEVER, -EINVAL,
                        "table subaccount_usernames has names that the built-in lists do not give (%s), and " ADJECTIVES
                        " and " NOUNS " are not set",
                        name);
                error_set_hint(reterr,
                               "set " ADJECTIVES " and " NOUNS
                               " (USERNAME_ADJECTIVES_FILE, USERNAME_NOUNS_FILE) to the lists that gave them; or "
                               "set " BUILTIN " = true if new names may come from other lists");
                return r;
        }
        return 0;
}
