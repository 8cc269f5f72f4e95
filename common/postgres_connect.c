/* Opening a connection and giving its session the settings every task relies on. Non-blocking throughout: the address
 * comes from a helper thread, and a server that is frozen before or during the handshake costs 5 s at most. */

#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/postgres_internal.h"
#include "common/resolve.h"

#define SESSION_SIZE 1024

static void ignore_notice(void *unused, const PGresult *result) {
        (void) unused;
        (void) result;
}

static void freeaddrinfo_p(struct addrinfo **list) {
        if (*list)
                freeaddrinfo(*list);
}

/* `address` NULL: target->host is a directory. */
static PGconn *start(const PgTarget *t, const char *address) {
        const char *names[24], *values[24];
        size_t n = 0;

#define PARAMETER(key, value) (names[n] = (key), values[n] = (value), n++)
        PARAMETER("host", t->host);
        if (address)
                PARAMETER("hostaddr", address);
        PARAMETER("port", t->port);
        PARAMETER("dbname", t->database);
        PARAMETER("user", t->user);
        if (t->password)
                PARAMETER("password", t->password);
        PARAMETER("sslmode", t->sslmode);
        if (t->root_cert)
                PARAMETER("sslrootcert", t->root_cert);
        /* Kerberos libraries look names up and block; nobody asked for them */
        PARAMETER("gssencmode", "disable");
        PARAMETER("client_encoding", "UTF8");
        PARAMETER("options", "");
        PARAMETER("target_session_attrs", "any");
        PARAMETER("keepalives", "1");
        PARAMETER("keepalives_idle", "10");
        PARAMETER("keepalives_interval", "5");
        PARAMETER("keepalives_count", "3");
        PARAMETER("tcp_user_timeout", "30000");
#undef PARAMETER
        names[n] = values[n] = NULL;
        return PQconnectStartParams(names, values, 0);
}

/* 0 connected; -ECONNREFUSED: libpq says why; else what pg_wait_socket() returns. */
static int handshake(PGconn *pg, const PgWait *wait) {
        /* as the manual says: behave as if PQconnectPoll had said "writing" before the first call */
        PostgresPollingStatusType state = PGRES_POLLING_WRITING;

        if (PQstatus(pg) == CONNECTION_BAD)
                return -ECONNREFUSED;
        while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
                int r;

                r = pg_wait_socket(pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, wait);
                if (r < 0)
                        return r;
                state = PQconnectPoll(pg);
        }
        return state == PGRES_POLLING_OK ? 0 : -ECONNREFUSED;
}

static int open_address(const PgTarget *t, const char *address, CancelToken *token, PGconn **ret, Error *reterr) {
        PgWait wait = pg_wait_for(token, PG_CONNECT_TIMEOUT_USEC);
        PGconn *pg;
        int r;

        pg = start(t, address);
        if (!pg)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "%s: out of memory", t->label);
        /* the verbose format is the only way to the SQLSTATE of a refused connection */
        (void) PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
        (void) PQsetNoticeReceiver(pg, ignore_notice, NULL);
        r = handshake(pg, &wait);
        if (r >= 0) {
                (void) PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
                *ret = pg;
                return 0;
        }
        if (r == -ECONNREFUSED || r == -ECONNRESET)
                r = pg_error_from_connect(t, PQerrorMessage(pg), t->password != NULL, reterr);
        else if (r == -ETIME) {
                r = error_set(reterr, ERROR_RETRY, -ETIMEDOUT, "%s: cannot connect: no answer within 5 s", t->label);
                error_set_hint(reterr, "is the server frozen, overloaded, or cut off by a firewall?");
        } else if (r == -ECANCELED || r == -ETIMEDOUT)
                r = error_set(reterr, ERROR_CANCELED, r, "%s: while connecting: %s", t->label,
                              cancel_reason_to_string(cancel_token_reason(token)));
        else
                r = error_set(reterr, ERROR_RETRY, r, "%s: while connecting: %s", t->label, strerror(-r));
        PQfinish(pg);
        return r;
}

/* Another address helps only where this one does not answer. */
static bool worth_another_address(const Error *e) {
        return e->kind == ERROR_RETRY && !e->sqlstate[0];
}

static int open_any(const PgTarget *t, CancelToken *token, PGconn **ret, Error *reterr) {
        _cleanup_error_ Error error = ERROR_INIT;
        _cleanup_(freeaddrinfo_p) struct addrinfo *list = NULL;
        int r, port;

        if (t->host[0] == '/')
                return open_address(t, NULL, token, ret, reterr);
        (void) parse_int(t->port, &port); /* was made from a number */
        r = resolve_host(t->host, port, PG_CONNECT_TIMEOUT_USEC, token, &list, &error);
        if (r < 0) {
                int ended = cancel_token_check(token);

                if (ended < 0)
                        return error_set(reterr, ERROR_CANCELED, ended, "%s: while resolving the host name: %s",
                                         t->label, cancel_reason_to_string(cancel_token_reason(token)));
                (void) error_set(reterr, ERROR_RETRY, r, "%s: cannot connect: %s", t->label,
                                 error.text ? error.text : "the host name was not resolved in time");
                error_set_hint(reterr, "check database.host (DB_HOSTNAME) and the name servers");
                return r;
        }
        r = -EHOSTUNREACH;
        for (const struct addrinfo *a = list; a; a = a->ai_next) {
                char address[NI_MAXHOST];

                if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST) != 0)
                        continue;
                r = open_address(t, address, token, ret, &error);
                if (r >= 0)
                        return 0;
                if (!worth_another_address(&error))
                        break;
        }
        if (!error.text)
                (void) error_set(&error, ERROR_RETRY, r, "%s: cannot connect: the host name has no usable address",
                                 t->label);
        if (reterr)
                error_move(reterr, &error);
        return r;
}

static unsigned long long timeout_msec(uint64_t usec) {
        uint64_t msec = usec / 1000 + (usec % 1000 != 0);

        return msec > INT32_MAX ? INT32_MAX : msec;
}

static int session_names(PgConn *c, const char *application_name, uint64_t statement_timeout_usec, Buffer *b) {
        char *literal;

        literal = PQescapeLiteral(c->pg, application_name, strlen(application_name));
        if (!literal)
                return -ENOMEM;
        (void) buffer_printf(b, "SET application_name = %s; SET statement_timeout = %llu;", literal,
                             timeout_msec(statement_timeout_usec));
        PQfreemem(literal);
        return buffer_failed(b) ? -ENOMEM : 0;
}

static int remember_session(PgConn *c, const char *application_name, uint64_t statement_timeout_usec) {
        char *copy;

        copy = strdup(application_name);
        if (!copy)
                return -ENOMEM;
        free(c->application_name);
        c->application_name = copy;
        c->statement_timeout_usec = statement_timeout_usec;
        return 0;
}

static int set_up_session(PgConn *c, const char *application_name, uint64_t statement_timeout_usec, CancelToken *token,
                          Error *reterr) {
        /* since 14, but not on every platform: there the server refuses the value, and we go on without it */
        bool check_interval = PQserverVersion(c->pg) >= 140000;

        for (;;) {
                _cleanup_buffer_ Buffer b = { 0 };
                _cleanup_error_ Error error = ERROR_INIT;
                PgWait wait = pg_wait_for(token, PG_CONNECT_TIMEOUT_USEC);
                int r;

                (void) buffer_append_string(
                        &b, "SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';"
                            " SET bytea_output = 'hex'; SET default_transaction_isolation = 'read committed';"
                            " SET idle_in_transaction_session_timeout = '60s';");
                if (check_interval)
                        (void) buffer_append_string(&b, " SET client_connection_check_interval = '10s';");
                r = session_names(c, application_name, statement_timeout_usec, &b);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "%s: out of memory", c->target->label);
                r = pg_simple(c, "session", b.data, &wait, NULL, &error);
                if (r >= 0)
                        return remember_session(c, application_name, statement_timeout_usec);
                if (check_interval && str_eq(error.sqlstate, "22023")) {
                        check_interval = false;
                        continue;
                }
                /* nothing but settings was sent: trying again is always right */
                if (error.kind == ERROR_UNCERTAIN)
                        error.kind = r == -ECANCELED || cancel_token_check(token) < 0 ? ERROR_CANCELED : ERROR_RETRY;
                if (reterr)
                        error_move(reterr, &error);
                return r;
        }
}

int pg_conn_connect(const PgTarget *target, const char *application_name, uint64_t statement_timeout_usec,
                    CancelToken *token, PgConn **ret, Error *reterr) {
        _cleanup_(pg_conn_freep) PgConn *c = NULL;
        int r;

        r = cancel_token_check(token);
        if (r < 0)
                return error_set(reterr, ERROR_CANCELED, r, "%s: not connected: %s", target->label,
                                 cancel_reason_to_string(cancel_token_reason(token)));
        c = calloc(1, sizeof(*c));
        if (!c)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "%s: out of memory", target->label);
        c->target = target;
        r = open_any(target, token, &c->pg, reterr);
        if (r < 0)
                return r;
        if (PQsetnonblocking(c->pg, 1) != 0)
                return error_set(reterr, ERROR_RETRY, -EIO, "%s: cannot make the connection non-blocking",
                                 target->label);
        r = set_up_session(c, application_name, statement_timeout_usec, token, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int pg_conn_update_session(PgConn *c, const char *application_name, uint64_t statement_timeout_usec, CancelToken *token,
                           Error *reterr) {
        _cleanup_buffer_ Buffer b = { 0 };
        PgWait wait = pg_wait_for(token, PG_CONNECT_TIMEOUT_USEC);
        int r;

        if (str_eq(c->application_name, application_name) && c->statement_timeout_usec == statement_timeout_usec)
                return 0;
        r = session_names(c, application_name, statement_timeout_usec, &b);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "%s: out of memory", c->target->label);
        r = pg_simple(c, "session", b.data, &wait, NULL, reterr);
        if (r < 0) {
                if (reterr && reterr->kind == ERROR_UNCERTAIN)
                        reterr->kind = cancel_token_check(token) < 0 ? ERROR_CANCELED : ERROR_RETRY;
                return r;
        }
        return remember_session(c, application_name, statement_timeout_usec);
}

bool pg_conn_is_dead(const PgConn *c) {
        struct pollfd p = { .fd = PQsocket(c->pg), .events = POLLIN | POLLRDHUP };

        if (c->broken || p.fd < 0 || PQstatus(c->pg) != CONNECTION_OK)
                return true;
        return poll(&p, 1, 0) != 0;
}
