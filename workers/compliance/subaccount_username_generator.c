/* subaccount_username_generator: one name for each address, kept for its subaccount 0 (compliance specification,
 * section 4). A page is one transaction under an advisory lock, and what it reads it reads inside, so that no host ever
 * gives a second name. Who gets which name is decided in memory, in the order of addresses and nonce by nonce. */

#include <search.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/json.h"
#include "sql/statements.h"
#include "workers/compliance/compliance.h"
#include "workers/compliance/username_lists.h"

#define AT "subaccount-username-generator#runTask"
/* Names that were taken are logged one by one up to this many in a page. */
#define REJECTED_LOGGED 20
#define ADDRESS_SAMPLE 10

/* Columns of read_nameless.sql. */
enum { ROW_ID, ROW_ADDRESS };

/* How far the run has come; kept between slices. */
typedef struct Cursor {
        char *address, *id; /* of the last account that was looked at; NULL: none yet */
        uint64_t done, total;
        int64_t n_accounts, n_named, n_rejected; /* in this slice, for the record */
} Cursor;

typedef struct Page {
        PGresult *accounts;
        size_t n, attempts;
        char **names; /* attempts of each account; NULL: its address gives none */
        PGresult *taken;
        void *claimed; /* tsearch tree of borrowed names: those that are taken and those given in this page */
        PgArray chosen, ids;
        size_t n_chosen, n_named, n_rejected;
} Page;

static void cursor_free(void *data) {
        Cursor *c = data;

        free(c->address);
        free(c->id);
        free(c);
}

static void keep_name(_unused_ void *name) {
}

static void forget_candidates(Page *p) {
        tdestroy(p->claimed, keep_name);
        p->claimed = NULL;
        for (size_t i = 0; p->names && i < p->n * p->attempts; i++)
                free(p->names[i]);
        free(p->names);
        p->names = NULL;
        PQclear(p->taken);
        p->taken = NULL;
}

static void page_done(Page *p) {
        forget_candidates(p);
        pg_array_done(&p->chosen);
        pg_array_done(&p->ids);
        PQclear(p->accounts);
        *p = (Page){ 0 };
}

static int compare_names(const void *a, const void *b) {
        return strcmp(a, b);
}

static size_t page_size(TaskContext *ctx) {
        return (size_t) settings_int(task_settings(ctx), "compliance.usernames.batch_size");
}

static int out_of_memory(const Page *p, Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the names of %zu addresses", p->n);
}

static uint64_t msec_since(uint64_t start) {
        return (clock_monotonic_usec() - start) / USEC_PER_MSEC;
}

static int read_accounts(TaskContext *ctx, const Cursor *c, Page *p, Error *reterr) {
        uint64_t start = clock_monotonic_usec();
        char limit[24];
        const char *params[] = { limit, c->address, c->id };
        int r;

        (void) snprintf(limit, sizeof(limit), "%zu", page_size(ctx));
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_lock_names, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = task_query(ctx, PG_PRIMARY, &sql_compliance_read_nameless, ELEMENTSOF(params), params, &p->accounts,
                               reterr);
        if (r < 0)
                return r;
        p->n = (size_t) PQntuples(p->accounts);
        task_timing(ctx, "get_subaccount_zeros_without_usernames.timing", (int64_t) msec_since(start), NULL, 0);
        return 0;
}

/* The first `attempts` names that each account of the page could get, and which of these are taken. */
static int make_candidates(TaskContext *ctx, const UsernameLists *lists, size_t attempts, Page *p, Error *reterr) {
        const UsernameStyle style = { &lists->adjectives, &lists->nouns,
                                      (unsigned) settings_int(task_settings(ctx),
                                                              "compliance.usernames.suffix_digits") };
        _cleanup_pg_array_ PgArray all = { 0 };
        const char *param;
        int r;

        forget_candidates(p);
        p->attempts = attempts;
        p->names = calloc(p->n * p->attempts, sizeof(*p->names));
        if (!p->names)
                return out_of_memory(p, reterr);
        for (size_t i = 0; i < p->n; i++)
                for (size_t nonce = 0; nonce < p->attempts; nonce++) {
                        char **name = &p->names[i * p->attempts + nonce];

                        r = username_make(&style, PQgetvalue(p->accounts, (int) i, ROW_ADDRESS), 0, (unsigned) nonce,
                                          name);
                        if (r == -ENOMEM)
                                return out_of_memory(p, reterr);
                        if (r >= 0)
                                pg_array_append(&all, *name);
                }
        param = pg_array_text(&all);
        if (!param)
                return out_of_memory(p, reterr);
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_read_taken_names, 1, &param, &p->taken, reterr);
        for (int i = 0; r >= 0 && i < PQntuples(p->taken); i++)
                if (!tsearch(PQgetvalue(p->taken, i, 0), &p->claimed, compare_names))
                        return out_of_memory(p, reterr);
        return r;
}

/* Whether each account can have its first name. */
static bool first_names_suffice(const Page *p) {
        void *seen = NULL;
        bool free_of_others = true;

        for (size_t i = 0; free_of_others && i < p->n; i++) {
                char *name = p->names[i * p->attempts];
                char **node;

                if (!name)
                        continue;
                node = tfind(name, &p->claimed, compare_names) ? NULL : tsearch(name, &seen, compare_names);
                free_of_others = node && *node == name;
        }
        tdestroy(seen, keep_name);
        return free_of_others;
}

/* Another name than the first is needed by almost no page; one that needs it looks at all of them, because an account's
 * second name may be the first one of an account behind it. */
static int find_candidates(TaskContext *ctx, const UsernameLists *lists, Page *p, Error *reterr) {
        size_t attempts = (size_t) settings_int(task_settings(ctx), "compliance.usernames.attempts");
        int r;

        r = make_candidates(ctx, lists, 1, p, reterr);
        return r < 0 || attempts == 1 || first_names_suffice(p) ? r : make_candidates(ctx, lists, attempts, p, reterr);
}

static void reject(TaskContext *ctx, Page *p, size_t i, const char *name) {
        if (p->n_rejected++ >= REJECTED_LOGGED)
                return;
        task_log(ctx, LOG_LEVEL_ERROR, AT,
                 (const LogField[]){
                         LOG_STRING("ADDRESS", "address", PQgetvalue(p->accounts, (int) i, ROW_ADDRESS)),
                         LOG_STRING("SUBACCOUNT_ID", "subaccountId", PQgetvalue(p->accounts, (int) i, ROW_ID)),
                         LOG_STRING("USERNAME", "username", name),
                         LOG_STRING("ERROR_TEXT", "error", "Username already exists") },
                 4, "Failed to insert username for subaccount");
}

/* 1: a name was chosen, 0: none is left. */
static int choose_name(TaskContext *ctx, Page *p, size_t i) {
        for (size_t nonce = 0; nonce < p->attempts; nonce++) {
                char *name = p->names[i * p->attempts + nonce];

                if (!name)
                        return 0;
                if (tfind(name, &p->claimed, compare_names)) {
                        reject(ctx, p, i, name);
                        continue;
                }
                if (!tsearch(name, &p->claimed, compare_names))
                        return -ENOMEM;
                pg_array_append(&p->chosen, name);
                pg_array_append(&p->ids, PQgetvalue(p->accounts, (int) i, ROW_ID));
                p->n_chosen++;
                return 1;
        }
        return 0;
}

static int choose_names(TaskContext *ctx, Page *p, Error *reterr) {
        for (size_t i = 0; i < p->n; i++) {
                const char *address = PQgetvalue(p->accounts, (int) i, ROW_ADDRESS);
                int r = choose_name(ctx, p, i);

                if (r < 0)
                        return out_of_memory(p, reterr);
                if (r > 0)
                        continue;
                if (!p->names[i * p->attempts])
                        task_item_failed(ctx, address, "the address is too long for a name");
                else
                        task_item_failed(ctx, address,
                                         "all %zu names that it may get are taken; see compliance.usernames.attempts",
                                         p->attempts);
        }
        return 0;
}

static int insert_names(TaskContext *ctx, const UsernameLists *lists, Page *p, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        const char *params[] = { pg_array_text(&p->chosen), pg_array_text(&p->ids) };
        int r;

        if (p->n_chosen == 0)
                return 0;
        if (!params[0] || !params[1])
                return out_of_memory(p, reterr);
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_insert_names, ELEMENTSOF(params), params, &result, reterr);
        if (r < 0)
                return r;
        /* what another service gave meanwhile is seen, and avoided, by the next run */
        p->n_named = (size_t) strtoull(PQcmdTuples(result), NULL, 10);
        return username_lists_add(ctx, lists, p->n_named, reterr);
}

/* Only when there is more than a page: the count reads both tables. */
static int count_accounts(TaskContext *ctx, const Page *p, Cursor *c, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        if (c->total > 0 || p->n < page_size(ctx))
                return 0;
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_count_nameless, 0, NULL, &result, reterr);
        if (r >= 0)
                c->total = p->n + strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        return r;
}

/* Within a transaction. */
static int name_page(TaskContext *ctx, const UsernameLists *lists, Cursor *c, Page *p, Error *reterr) {
        int r;

        r = read_accounts(ctx, c, p, reterr);
        if (r < 0 || p->n == 0)
                return r;
        r = find_candidates(ctx, lists, p, reterr);
        if (r >= 0)
                r = choose_names(ctx, p, reterr);
        if (r >= 0)
                r = insert_names(ctx, lists, p, reterr);
        return r < 0 ? r : count_accounts(ctx, p, c, reterr);
}

static int move_cursor(Cursor *c, const Page *p, Error *reterr) {
        char *address, *id;

        if (p->n == 0)
                return 0;
        address = strdup(PQgetvalue(p->accounts, (int) p->n - 1, ROW_ADDRESS));
        id = strdup(PQgetvalue(p->accounts, (int) p->n - 1, ROW_ID));
        if (!address || !id) {
                free(address);
                free(id);
                return out_of_memory(p, reterr);
        }
        free(c->address);
        free(c->id);
        c->address = address;
        c->id = id;
        c->done += p->n;
        return 0;
}

static void report_page(TaskContext *ctx, const Page *p, uint64_t start) {
        _cleanup_buffer_ Buffer sample = { 0 };

        task_timing(ctx, "subaccount_username_generator.txn.timing", (int64_t) msec_since(start), NULL, 0);
        for (size_t i = 0; i < p->n && i < ADDRESS_SAMPLE; i++) {
                const char *address = PQgetvalue(p->accounts, (int) i, ROW_ADDRESS);

                (void) buffer_append_string(&sample, i == 0 ? "[" : ",");
                (void) json_append_string(&sample, address, strlen(address));
        }
        (void) buffer_append_string(&sample, p->n == 0 ? "[]" : "]");
        task_log(ctx, LOG_LEVEL_DEBUG, AT,
                 (const LogField[]){ LOG_JSON("ADDRESS_SAMPLE", "addressSample", sample.data),
                                     LOG_INT("BATCH_SIZE", "batchSize", (int64_t) p->n),
                                     LOG_INT("SUCCESS_COUNT", "successCount", (int64_t) p->n_named),
                                     LOG_INT("DURATION_MSEC", "duration", (int64_t) msec_since(start)) },
                 4, "Generated usernames");
}

static int run_page(TaskContext *ctx, const UsernameLists *lists, Cursor *c, size_t *ret_n, Error *reterr) {
        _cleanup_(page_done) Page p = { 0 };
        uint64_t start = clock_monotonic_usec();
        int r;

        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = name_page(ctx, lists, c, &p, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r < 0) {
                task_rollback(ctx);
                return r;
        }
        report_page(ctx, &p, start);
        c->n_accounts += (int64_t) p.n;
        c->n_named += (int64_t) p.n_named;
        c->n_rejected += (int64_t) p.n_rejected;
        *ret_n = p.n;
        return move_cursor(c, &p, reterr);
}

/* 0 or TASK_MORE. */
static int run_slice(TaskContext *ctx, const UsernameLists *lists, Cursor *c, Error *reterr) {
        uint64_t slice = settings_duration_usec(task_settings(ctx), "compliance.slice"),
                 slice_end = clock_monotonic_usec() + (task_is_dry_run(ctx) ? 0 : slice);
        size_t n = 0;
        int r;

        do {
                r = run_page(ctx, lists, c, &n, reterr);
                if (r < 0 || n < page_size(ctx))
                        return r;
                task_progress(ctx, c->done, c->total > c->done ? c->total : c->done, "addresses");
        } while (clock_monotonic_usec() < slice_end);
        return TASK_MORE;
}

static int get_cursor(TaskContext *ctx, Cursor **ret, Error *reterr) {
        *ret = task_kept(ctx);
        if (*ret)
                return 0;
        *ret = calloc(1, sizeof(**ret));
        if (!*ret)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        task_keep(ctx, *ret, cursor_free);
        return 0;
}

int subaccount_username_generator_run(TaskContext *ctx) {
        _cleanup_(username_lists_done) UsernameLists lists = { 0 };
        uint64_t start = clock_monotonic_usec();
        _cleanup_error_ Error e = ERROR_INIT;
        Cursor *cursor;
        int r;

        r = username_lists_load(ctx, &lists, &e);
        if (r >= 0)
                r = username_lists_check(ctx, &lists, &e);
        if (r >= 0)
                r = get_cursor(ctx, &cursor, &e);
        if (r >= 0) {
                r = run_slice(ctx, &lists, cursor, &e);
                task_field_int(ctx, "addresses", cursor->n_accounts);
                task_field_int(ctx, "names", cursor->n_named);
                task_field_int(ctx, "rejected_names", cursor->n_rejected);
                cursor->n_accounts = cursor->n_named = cursor->n_rejected = 0;
        }
        task_timing(ctx, "subaccount_username_generator.total.timing", (int64_t) msec_since(start), NULL, 0);
        if (r >= 0)
                return r;
        task_log(ctx, LOG_LEVEL_ERROR, AT,
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)),
                                     LOG_STRING("HINT", "hint", e.hint) },
                 2, "Error when generating usernames for subaccounts");
        return task_fail(ctx, &e);
}
