/* The verb migrate: one sentence for people, or one JSON object. SIGINT and SIGTERM cancel it: the transaction is
 * rolled back at once, also while it waits for another migration. */

#include <getopt.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "common/failpoint.h"
#include "common/migrate.h"
#include "common/migrate_indexes.h"
#include "workers/admin_migrate.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

typedef struct Options {
        const char *conf_dir, *env_dir;
        bool json, with_indexes;
} Options;

static int usage(void) {
        fprintf(stderr, "usage: roundtable migrate [--conf DIR] [--env-dir DIR] [--json] [--with-indexes]\n");
        return EXIT_CODE_USAGE;
}

static int parse_options(int argc, char **argv, Options *o) {
        static const struct option long_options[] = {
                { "conf", required_argument, NULL, 'c' },
                { "env-dir", required_argument, NULL, 'e' },
                { "json", no_argument, NULL, 'j' },
                { "with-indexes", no_argument, NULL, 'i' },
                { NULL, 0, NULL, 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        o->conf_dir = optarg;
                        break;
                case 'e':
                        o->env_dir = optarg;
                        break;
                case 'j':
                        o->json = true;
                        break;
                case 'i':
                        o->with_indexes = true;
                        break;
                default:
                        return -EINVAL;
                }
        return optind == argc ? 0 : -EINVAL;
}

static int load(const Options *o, Settings **ret) {
        SettingsSource source = settings_process_source(o->conf_dir, o->env_dir);

        return settings_process_load(&source, family_manifests, false, ret);
}

static void *wait_for_signal(void *userdata) {
        sigset_t mask;
        int number;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGTERM);
        if (sigwait(&mask, &number) == 0)
                cancel_token_cancel(userdata, CANCEL_REQUEST);
        return NULL;
}

/* The thread lives as long as the process; the token must too. */
static int cancel_on_signals(CancelToken *token) {
        pthread_t thread;
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGTERM);
        r = pthread_sigmask(SIG_BLOCK, &mask, NULL);
        if (r == 0)
                r = pthread_create(&thread, NULL, wait_for_signal, token);
        if (r == 0)
                r = pthread_detach(thread);
        return -r;
}

static const char *state_to_string(MigrateState state) {
        switch (state) {
        case MIGRATE_EMPTY:
                return "empty";
        case MIGRATE_ORIGINAL:
                return "original";
        case MIGRATE_OURS:
                return "ours";
        }
        return "?";
}

static void print_json(json_t *object) {
        _cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

        json_decref(object);
        printf("%s\n", text ? text : "{}");
}

/* What has been done to the optional indexes; NULL without --with-indexes or --json. */
typedef struct IndexList {
        json_t *object;
        bool json;
} IndexList;

static void add_index(const char *name, IndexOutcome outcome, void *userdata) {
        IndexList *l = userdata;

        if (l->json)
                (void) json_object_set_new(l->object, name, json_string(index_outcome_to_string(outcome)));
        else
                printf("index %s: %s\n", name, index_outcome_to_string(outcome));
        (void) fflush(stdout); /* each may take long */
}

static int build_indexes(const Settings *settings, PgConn *conn, CancelToken *token, IndexList *list, Error *reterr) {
        _cleanup_(pg_conn_freep) PgConn *guard = NULL;
        int r;

        if (list->json)
                list->object = json_object();
        r = pg_conn_open(settings, PG_PRIMARY, "roundtable/admin/migrate", token, &guard, reterr);
        return r < 0 ? r : migrate_indexes(conn, guard, token, add_index, list, reterr);
}

static void print_report(const Settings *settings, const MigrateReport *report, json_t *indexes, bool json) {
        const char *name = settings_string(settings, "database.name"),
                   *host = settings_string(settings, "database.host");

        if (json)
                print_json(json_pack("{s:s, s:i, s:i, s:s, s:o*}", "database", name, "version", report->version,
                                     "applied", (int) report->applied, "found", state_to_string(report->state),
                                     "indexes", indexes));
        else if (report->state == MIGRATE_EMPTY)
                printf("database %s on %s was empty and is now at version %d\n", name, host, report->version);
        else if (report->applied > 0)
                printf("database %s on %s: %zu migrations applied, now at version %d\n", name, host, report->applied,
                       report->version);
        else if (report->state == MIGRATE_ORIGINAL)
                printf("database %s on %s was migrated by the original service; nothing to add, version %d\n", name,
                       host, report->version);
        else
                printf("database %s on %s is at version %d already\n", name, host, report->version);
}

static int print_error(const Error *e, bool json) {
        if (json)
                print_json(json_pack("{s:s, s:s, s:s?, s:s?}", "error", error_text(e), "kind",
                                     error_kind_to_string(e->kind), "hint", e->hint, "sqlstate",
                                     e->sqlstate[0] ? e->sqlstate : NULL));
        fprintf(stderr, "%s\n", error_text(e));
        if (e->hint)
                fprintf(stderr, "HINT: %s\n", e->hint);
        return e->err == -EBUSY ? EXIT_CODE_TRY_AGAIN : EXIT_CODE_FAILED;
}

int migrate_verb(int argc, char **argv) {
        static CancelToken *token; /* never freed: the signal thread has it */
        _cleanup_settings_ Settings *settings = NULL;
        _cleanup_(pg_conn_freep) PgConn *conn = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        MigrateReport report;
        Options options = { 0 };
        IndexList indexes = { 0 };
        int r;

        if (parse_options(argc, argv, &options) < 0)
                return usage();
        r = load(&options, &settings);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        r = cancel_token_new(&token);
        if (r >= 0)
                r = cancel_on_signals(token);
        if (r < 0) {
                fprintf(stderr, "migrate: %s\n", strerror(-r));
                return EXIT_CODE_FAILED;
        }
        failpoint_set_task("migrate");
        r = pg_conn_open(settings, PG_PRIMARY, "roundtable/admin/migrate", token, &conn, &e);
        if (r >= 0)
                r = migrate_run(conn, token, &report, &e);
        if (r < 0)
                return print_error(&e, options.json);
        indexes.json = options.json;
        /* behind the commit: they are no part of it, and each stays that is built */
        if (options.with_indexes)
                r = build_indexes(settings, conn, token, &indexes, &e);
        if (r < 0) {
                json_decref(indexes.object);
                return print_error(&e, options.json);
        }
        print_report(settings, &report, indexes.object, options.json);
        return EXIT_CODE_OK;
}
