/* SQLSTATEs and libpq's messages, sorted into what a caller can do about them. No text ever holds the password: libpq
 * and the server do not print it, and we do not either. */

#include <ctype.h>
#include <stdio.h>

#include "common/postgres_internal.h"

typedef struct StateRow {
        const char *prefix; /* of the SQLSTATE; the first match counts */
        ErrorKind kind;
        int err;
        const char *hint; /* ours, where the server gives none */
} StateRow;

static const StateRow state_rows[] = {
        { "08P01", ERROR_NEVER, -EPROTO, NULL },
        { "08", ERROR_RETRY, -ECONNRESET, NULL },
        { "23505", ERROR_NEVER, -EEXIST, NULL },
        { "25006", ERROR_RETRY, -EROFS, "the server is a read-only standby: is database.host the primary?" },
        { "25P03", ERROR_RETRY, -ETIMEDOUT, NULL },
        { "28", ERROR_NEVER, -EACCES, "check database.user, database.password and the server's pg_hba.conf" },
        { "3D000", ERROR_NEVER, -ENOENT, "check database.name, or create the database" },
        { "40003", ERROR_UNCERTAIN, -ECONNRESET, NULL },
        { "40", ERROR_RETRY, -EAGAIN, NULL },
        { "42501", ERROR_NEVER, -EACCES, "the role of database.user lacks a privilege" },
        { "42P01", ERROR_NEVER, -ENOENT, "is the database migrated? run: roundtable migrate" },
        { "42703", ERROR_NEVER, -ENOENT, "is the database migrated? run: roundtable migrate" },
        { "53", ERROR_RETRY, -EAGAIN, NULL },
        { "55006", ERROR_RETRY, -EBUSY, NULL },
        { "55P03", ERROR_RETRY, -EBUSY, NULL },
        { "57014", ERROR_RETRY, -ETIMEDOUT, NULL },
        { "57P04", ERROR_NEVER, -ENOENT, "the database was dropped" },
        { "57P", ERROR_RETRY, -ECONNRESET, NULL },
        { "58", ERROR_RETRY, -EIO, "see the server's log" },
        { "", ERROR_NEVER, -EBADMSG, NULL },
};

static const StateRow *find_row(const char *sqlstate) {
        const StateRow *row = state_rows;

        while (strncmp(sqlstate, row->prefix, strlen(row->prefix)) != 0)
                row++;
        return row;
}

ErrorKind pg_kind_of_sqlstate(const char *sqlstate) {
        return find_row(sqlstate)->kind;
}

int pg_errno_of_sqlstate(const char *sqlstate) {
        return find_row(sqlstate)->err;
}

static void set_sqlstate(Error *e, const char *sqlstate) {
        if (e)
                (void) snprintf(e->sqlstate, sizeof(e->sqlstate), "%.5s", sqlstate);
}

const char *pg_first_line(const char *message, char *buf, size_t size) {
        size_t length = strcspn(message, "\n");

        (void) snprintf(buf, size, "%.*s", (int) length, message);
        return buf;
}

int pg_error_from_result(const PgConn *c, const char *name, const PGresult *result, Error *reterr) {
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
        const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
        const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
        const StateRow *row = find_row(sqlstate ? sqlstate : "");
        char line[512];
        int r;

        if (!message)
                message = pg_first_line(PQresultErrorMessage(result), line, sizeof(line));
        r = error_set(reterr, row->kind, row->err, "%s: %s: %s%s%s%s%s%s", c->target->label, name, message,
                      detail ? " (" : "", detail ? detail : "", detail ? ")" : "", context ? "; " : "",
                      context ? context : "");
        set_sqlstate(reterr, sqlstate ? sqlstate : "");
        if (hint || row->hint)
                error_set_hint(reterr, "%s", hint ? hint : row->hint);
        return r;
}

/* Finds "SEVERITY:  XXXXX: " as the verbose format writes it; returns where the five characters begin or NULL. */
static const char *find_sqlstate(const char *message) {
        for (const char *p = strstr(message, ":  "); p; p = strstr(p + 1, ":  ")) {
                size_t n = 0;

                while (n < 5 && (isdigit((unsigned char) p[3 + n]) || isupper((unsigned char) p[3 + n])))
                        n++;
                if (n == 5 && p[8] == ':' && p[9] == ' ')
                        return p + 3;
        }
        return NULL;
}

int pg_error_from_connect(const PgTarget *target, const char *message, bool had_password, Error *reterr) {
        const char *sqlstate = find_sqlstate(message);
        char line[512];
        int r;

        if (sqlstate) {
                const StateRow *row = find_row(sqlstate);
                const char *hint = row->hint;

                if (strncmp(sqlstate, "28P01", 5) == 0)
                        hint = "check database.password";
                else if (strncmp(sqlstate, "53300", 5) == 0)
                        hint = "lower PG_POOL_MAX or raise max_connections of the server";
                r = error_set(reterr, row->kind, row->err, "%s: cannot connect as %s: %s", target->label, target->user,
                              pg_first_line(sqlstate + 7, line, sizeof(line)));
                set_sqlstate(reterr, sqlstate);
                if (hint)
                        error_set_hint(reterr, "%s", hint);
                return r;
        }
        (void) pg_first_line(message, line, sizeof(line));
        if (strstr(message, "no password supplied") || strstr(message, "password authentication failed")) {
                r = error_set(reterr, ERROR_NEVER, -EACCES, "%s: cannot connect as %s: %s", target->label, target->user,
                              line);
                error_set_hint(reterr,
                               had_password ? "check database.password" : "set database.password (DB_PASSWORD)");
                return r;
        }
        if (strstr(message, "SSL") || strstr(message, "certificate")) {
                r = error_set(reterr, ERROR_NEVER, -EPROTO, "%s: cannot connect as %s: %s", target->label, target->user,
                              line);
                error_set_hint(reterr, "check database.sslmode and database.ssl_root_cert");
                return r;
        }
        r = error_set(reterr, ERROR_RETRY, -ECONNREFUSED, "%s: cannot connect: %s", target->label, line);
        if (target->host[0] == '/')
                error_set_hint(reterr, "is the server running, and is its socket in %s with port %s?", target->host,
                               target->port);
        else
                error_set_hint(reterr, "is the server running on %s and listening on port %s?", target->host,
                               target->port);
        return r;
}

int pg_error_lost(const PgConn *c, const char *name, bool uncertain, Error *reterr) {
        char line[512];
        const char *message = pg_first_line(PQerrorMessage(c->pg), line, sizeof(line));
        int r;

        r = error_set(reterr, uncertain ? ERROR_UNCERTAIN : ERROR_RETRY, -ECONNRESET, "%s: %s: connection lost%s%s%s",
                      c->target->label, name, uncertain ? " before the answer; it may have happened" : "",
                      *message ? ": " : "", message);
        error_set_hint(reterr, "see the server's log");
        return r;
}

int pg_error_canceled(const PgConn *c, const char *name, int err, CancelToken *token, bool uncertain, Error *reterr) {
        const char *reason = cancel_reason_to_string(token ? cancel_token_reason(token) : CANCEL_DEADLINE);

        if (!c->broken)
                return error_set(reterr, ERROR_CANCELED, err, "%s: %s: %s", c->target->label, name, reason);
        return error_set(reterr, uncertain ? ERROR_UNCERTAIN : ERROR_CANCELED, err,
                         "%s: %s: %s, and the connection was given up%s", c->target->label, name, reason,
                         uncertain ? "; it may have happened" : "");
}
