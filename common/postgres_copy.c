/* COPY … FROM STDIN. Rows are gathered into pieces before libpq gets them: it would otherwise keep whatever the server
 * has not taken yet in memory without bound. A COPY that is given up costs its connection. */

#include "common/failpoint.h"
#include "common/postgres_internal.h"

#define PIECE_SIZE ((size_t) 64 * 1024)

static void copy_done(PgConn *c) {
        free(TAKE_PTR(c->copy));
        buffer_done(&c->copy_data);
}

/* Ends the COPY by closing the connection, so that the server rolls it back. */
static int copy_failed(PgConn *c, int r, bool uncertain, CancelToken *token, Error *reterr) {
        pg_conn_break(c);
        if (r == -ECANCELED || r == -ETIMEDOUT)
                r = pg_error_canceled(c, c->copy, r, token, uncertain, reterr);
        else
                r = pg_error_lost(c, c->copy, uncertain, reterr);
        copy_done(c);
        return r;
}

int pg_copy_begin(PgConn *c, const char *name, const char *copy_sql, CancelToken *token, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        PgWait wait = PG_WAIT_TOKEN(token);
        int r;

        if (c->broken || c->copy)
                return error_set(reterr, c->broken ? ERROR_RETRY : ERROR_NEVER, c->broken ? -ENOTCONN : -EBUSY,
                                 "%s: %s: %s", c->target->label, name,
                                 c->broken ? "the connection is broken" : "another COPY is still running");
        r = cancel_token_check(token);
        if (r < 0)
                return pg_error_canceled(c, name, r, token, false, reterr);
        c->copy = strdup(name);
        if (!c->copy)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "%s: %s: out of memory", c->target->label, name);
        c->copy_in_transaction = PQtransactionStatus(c->pg) != PQTRANS_IDLE;
        FAILPOINT("postgres", name, "before");
        r = PQsendQuery(c->pg, copy_sql) != 0 ? pg_flush(c, &wait) : -ECONNRESET;
        if (r >= 0) {
                c->round_trips++;
                r = pg_next_result(c, &wait, &result);
        }
        if (r < 0)
                return copy_failed(c, r, false, token, reterr);
        if (PQresultStatus(result) == PGRES_COPY_IN)
                return 0;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
                r = pg_error_from_result(c, name, result, reterr);
        else
                r = error_set(reterr, ERROR_NEVER, -EINVAL, "%s: %s: not a COPY FROM STDIN", c->target->label, name);
        for (;;) {
                PGresult *rest = NULL;

                if (pg_next_result(c, &wait, &rest) < 0 ||
                    (rest && PQresultStatus(rest) != PGRES_FATAL_ERROR && PQresultStatus(rest) != PGRES_COMMAND_OK &&
                     PQresultStatus(rest) != PGRES_TUPLES_OK)) {
                        PQclear(rest);
                        pg_conn_break(c);
                        break;
                }
                if (!rest)
                        break;
                PQclear(rest);
        }
        copy_done(c);
        return r;
}

static int send_piece(PgConn *c, CancelToken *token, Error *reterr) {
        PgWait wait = PG_WAIT_TOKEN(token);
        int r;

        if (c->copy_data.length == 0)
                return 0;
        r = PQputCopyData(c->pg, c->copy_data.data, (int) c->copy_data.length) == 1 ? pg_flush(c, &wait) : -ECONNRESET;
        if (r < 0)
                return copy_failed(c, r, false, token, reterr);
        buffer_clear(&c->copy_data);
        return 0;
}

int pg_copy_put(PgConn *c, const char *data, size_t length, CancelToken *token, Error *reterr) {
        int r;

        if (!c->copy)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "%s: no COPY is running", c->target->label);
        r = cancel_token_check(token);
        if (r < 0)
                return copy_failed(c, r, false, token, reterr);
        while (length > 0) {
                size_t n = length < PIECE_SIZE ? length : PIECE_SIZE;

                r = buffer_append(&c->copy_data, data, n);
                if (r < 0) {
                        pg_conn_break(c);
                        r = error_set(reterr, ERROR_RETRY, -ENOMEM, "%s: %s: out of memory", c->target->label, c->copy);
                        copy_done(c);
                        return r;
                }
                data += n;
                length -= n;
                if (c->copy_data.length >= PIECE_SIZE) {
                        r = send_piece(c, token, reterr);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int pg_copy_end(PgConn *c, CancelToken *token, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        PgWait wait = PG_WAIT_TOKEN(token);
        bool uncertain;
        int r;

        if (!c->copy)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "%s: no COPY is running", c->target->label);
        uncertain = !c->copy_in_transaction;
        r = send_piece(c, token, reterr);
        if (r < 0)
                return r;
        r = PQputCopyEnd(c->pg, NULL) == 1 ? pg_flush(c, &wait) : -ECONNRESET;
        if (r < 0)
                return copy_failed(c, r, false, token, reterr);
        FAILPOINT("postgres", c->copy, "sent");
        for (;;) {
                PGresult *next = NULL;

                r = pg_next_result(c, &wait, &next);
                if (r < 0)
                        return copy_failed(c, r, uncertain, token, reterr);
                if (!next)
                        break;
                PQclear(result);
                result = next;
        }
        FAILPOINT("postgres", c->copy, "after");
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
                r = pg_error_from_result(c, c->copy, result, reterr);
        copy_done(c);
        return r;
}
