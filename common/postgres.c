/* Connections as the rest of the project sees them: targets made of settings, opening, closing, asking. */

#include <stdio.h>

#include "common/postgres_internal.h"

const char *pg_server_to_string(PgServer server) {
        return server == PG_REPLICA ? "postgres-replica" : "postgres-primary";
}

/* The words of the setting are the original's; unset means none, as there. */
static const char *sslmode_for(const char *setting) {
        static const char *const known[] = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" };

        if (str_eq(setting, "no-verify"))
                return "require";
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (str_eq(setting, known[i]))
                        return known[i];
        return "disable";
}

PgTarget *pg_target_new(PgServer server, const char *host, int port, const char *database, const char *user,
                        const char *password, const char *sslmode, const char *root_cert) {
        _cleanup_(pg_target_freep) PgTarget *t = NULL;

        t = calloc(1, sizeof(*t));
        if (!t)
                return NULL;
        t->server = server;
        (void) snprintf(t->port, sizeof(t->port), "%d", port);
        t->sslmode = sslmode_for(sslmode);
        t->host = strdup(str_empty(host) ? "localhost" : host);
        t->database = strdup(database);
        t->user = strdup(user);
        if (!t->host || !t->database || !t->user)
                return NULL;
        t->label = str_printf("%s %s:%s/%s", pg_server_to_string(server), t->host, t->port, database);
        if (!t->label)
                return NULL;
        if (!str_empty(password)) {
                t->password = strdup(password);
                if (!t->password)
                        return NULL;
        }
        /* With a CA file, also one of $PGSSLROOTCERT or of the home directory, libpq's "require" would verify after
         * all; it ignores one that does not exist. */
        if (str_eq(sslmode, "no-verify"))
                root_cert = "/nonexistent";
        if (!str_empty(root_cert)) {
                t->root_cert = strdup(root_cert);
                if (!t->root_cert)
                        return NULL;
        }
        return TAKE_PTR(t);
}

PgTarget *pg_target_free(PgTarget *t) {
        if (!t)
                return NULL;
        if (t->password)
                explicit_bzero(t->password, strlen(t->password));
        free(t->password);
        free(t->host);
        free(t->database);
        free(t->user);
        free(t->root_cert);
        free(t->label);
        free(t);
        return NULL;
}

PgConn *pg_conn_free(PgConn *c) {
        if (!c)
                return NULL;
        if (c->pg)
                PQfinish(c->pg);
        free(c->copy);
        buffer_done(&c->copy_data);
        free(c->application_name);
        (void) pg_target_free(c->owned_target);
        free(c);
        return NULL;
}

bool pg_conn_is_broken(const PgConn *c) {
        return c->broken;
}

PGTransactionStatusType pg_conn_transaction_status(const PgConn *c) {
        return c->broken ? PQTRANS_UNKNOWN : PQtransactionStatus(c->pg);
}

uint64_t pg_conn_round_trips(const PgConn *c) {
        return c->round_trips;
}
