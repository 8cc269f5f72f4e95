/* Statements and transactions. What must stay true: after an error the caller knows from its kind whether the statement
 * may have happened. */

#include <stdio.h>

#include "common/failpoint.h"
#include "common/postgres_internal.h"

/* Common to every call: a usable connection, a token that still runs. */
static int check_usable(PgConn *c, const char *name, CancelToken *token, Error *reterr) {
        int r;

        if (c->broken)
                return error_set(reterr, ERROR_RETRY, -ENOTCONN, "%s: %s: the connection is broken", c->target->label,
                                 name);
        if (c->copy)
                return error_set(reterr, ERROR_NEVER, -EBUSY, "%s: %s: COPY %s is still running", c->target->label,
                                 name, c->copy);
        r = cancel_token_check(token);
        if (r < 0)
                return pg_error_canceled(c, name, r, token, false, reterr);
        return 0;
}

/* A statement in a transaction is undone with it when the connection is lost; one outside may have happened. */
static bool loss_is_uncertain(const PgConn *c) {
        return PQtransactionStatus(c->pg) == PQTRANS_IDLE;
}

static int send_params(PgConn *c, const SqlStatement *statement, size_t n_params, const char *const *params,
                       CancelToken *token, bool single_row, bool *ret_sent, Error *reterr) {
        PgWait wait = PG_WAIT_TOKEN(token);

        if (PQsendQueryParams(c->pg, statement->text, (int) n_params, NULL, params, NULL, NULL, 0) == 0) {
                char line[512];

                (void) pg_first_line(PQerrorMessage(c->pg), line, sizeof(line));
                if (PQstatus(c->pg) == CONNECTION_OK)
                        return error_set(reterr, ERROR_NEVER, -EINVAL, "%s: %s: %s", c->target->label, statement->name,
                                         line);
                c->lost = true;
                pg_conn_break(c);
                return pg_error_lost(c, statement->name, false, reterr);
        }
        if (single_row)
                (void) PQsetSingleRowMode(c->pg);
        {
                PGresult *unused = NULL;
                int r;

                r = pg_flush(c, &wait);
                if (r < 0)
                        return pg_wait_failed(c, statement->name, r, false, false, token, &unused, reterr);
        }
        c->round_trips++;
        *ret_sent = true;
        return 0;
}

static bool is_error(const PGresult *result) {
        switch (PQresultStatus(result)) {
        case PGRES_COMMAND_OK:
        case PGRES_TUPLES_OK:
        case PGRES_SINGLE_TUPLE:
        case PGRES_EMPTY_QUERY:
                return false;
        default:
                return true;
        }
}

/* COPY must go through pg_copy_begin(): here nobody would feed or read it. */
static int refuse_copy(PgConn *c, const char *name, const PGresult *result, Error *reterr) {
        ExecStatusType status = PQresultStatus(result);

        if (status != PGRES_COPY_IN && status != PGRES_COPY_OUT && status != PGRES_COPY_BOTH)
                return 0;
        pg_conn_break(c);
        return error_set(reterr, ERROR_NEVER, -EINVAL, "%s: %s: COPY needs pg_copy_begin()", c->target->label, name);
}

int pg_query(PgConn *c, const SqlStatement *statement, size_t n_params, const char *const *params, CancelToken *token,
             PGresult **ret_result, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        PgWait wait = PG_WAIT_TOKEN(token);
        bool uncertain, sent = false;
        int r;

        r = check_usable(c, statement->name, token, reterr);
        if (r < 0)
                return r;
        uncertain = loss_is_uncertain(c);
        FAILPOINT("postgres", statement->name, "before");
        r = send_params(c, statement, n_params, params, token, false, &sent, reterr);
        if (r < 0)
                return r;
        FAILPOINT("postgres", statement->name, "sent");
        for (;;) {
                PGresult *next = NULL;

                r = pg_next_result(c, &wait, &next);
                if (r < 0) {
                        PGresult *drained = NULL;

                        /* the answer was there already, only its end (ReadyForQuery) was not */
                        r = pg_wait_failed(c, statement->name, r, true, uncertain, token, &drained, reterr);
                        if (r < 0)
                                return r;
                        next = drained;
                        PQclear(result);
                        result = next;
                        break;
                }
                if (!next)
                        break;
                PQclear(result);
                result = next;
                r = refuse_copy(c, statement->name, result, reterr);
                if (r < 0)
                        return r;
        }
        FAILPOINT("postgres", statement->name, "after");
        if (!result)
                return error_set(reterr, ERROR_NEVER, -EPROTO, "%s: %s: no result", c->target->label, statement->name);
        if (is_error(result))
                return pg_error_from_result(c, statement->name, result, reterr);
        if (ret_result)
                *ret_result = TAKE_PTR(result);
        return 0;
}

/* Stops a statement whose further rows nobody wants. */
static void abandon(PgConn *c) {
        _cleanup_pg_result_ PGresult *unused = NULL;

        (void) pg_cancel_and_drain(c, &unused);
}

int pg_query_each(PgConn *c, const SqlStatement *statement, size_t n_params, const char *const *params,
                  CancelToken *token, PgRowCallback callback, void *userdata, Error *reterr) {
        PgWait wait = PG_WAIT_TOKEN(token);
        bool uncertain, sent = false;
        int r, failed = 0;

        r = check_usable(c, statement->name, token, reterr);
        if (r < 0)
                return r;
        uncertain = loss_is_uncertain(c);
        FAILPOINT("postgres", statement->name, "before");
        r = send_params(c, statement, n_params, params, token, true, &sent, reterr);
        if (r < 0)
                return r;
        FAILPOINT("postgres", statement->name, "sent");
        for (;;) {
                _cleanup_pg_result_ PGresult *result = NULL;

                r = cancel_token_check(token);
                if (r >= 0)
                        r = pg_next_result(c, &wait, &result);
                if (r < 0) {
                        int err = r;

                        r = pg_wait_failed(c, statement->name, r, true, uncertain, token, &result, reterr);
                        /* rows were dropped while cancelling: for the caller this is not a complete answer */
                        return r < 0 ? r : pg_error_canceled(c, statement->name, err, token, false, reterr);
                }
                if (!result)
                        break;
                r = refuse_copy(c, statement->name, result, reterr);
                if (r < 0)
                        return r;
                if (is_error(result)) {
                        failed = pg_error_from_result(c, statement->name, result, reterr);
                        continue;
                }
                if (PQresultStatus(result) != PGRES_SINGLE_TUPLE)
                        continue;
                r = callback(result, userdata);
                if (r < 0) {
                        abandon(c);
                        return error_set(reterr, ERROR_NEVER, r, "%s: %s: a row was refused: %s", c->target->label,
                                         statement->name, strerror(-r));
                }
        }
        FAILPOINT("postgres", statement->name, "after");
        return failed;
}

/* BEGIN, COMMIT, scripts: simple queries with their failpoints. */
static int run_simple(PgConn *c, const char *name, const char *text, CancelToken *token, PGresult **ret,
                      Error *reterr) {
        PgWait wait = PG_WAIT_TOKEN(token);
        int r;

        r = check_usable(c, name, token, reterr);
        if (r < 0)
                return r;
        FAILPOINT("postgres", name, "before");
        r = pg_simple(c, name, text, &wait, ret, reterr);
        if (r < 0)
                return r;
        FAILPOINT("postgres", name, "after");
        return 0;
}

int pg_script(PgConn *c, const char *name, const char *text, CancelToken *token, Error *reterr) {
        return run_simple(c, name, text, token, NULL, reterr);
}

int pg_begin(PgConn *c, CancelToken *token, Error *reterr) {
        return run_simple(c, "begin", "BEGIN", token, NULL, reterr);
}

int pg_commit(PgConn *c, CancelToken *token, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = run_simple(c, "commit", "COMMIT", token, &result, reterr);
        if (r < 0)
                return r;
        /* the server answers COMMIT of a failed transaction with ROLLBACK, and no error */
        if (str_eq(PQcmdStatus(result), "ROLLBACK"))
                return error_set(reterr, ERROR_NEVER, -ECANCELED,
                                 "%s: commit: the transaction was rolled back because a statement in it had failed",
                                 c->target->label);
        return 0;
}

void pg_rollback(PgConn *c) {
        PgWait wait;

        if (!c || c->broken)
                return;
        if (c->copy || PQtransactionStatus(c->pg) == PQTRANS_ACTIVE || PQtransactionStatus(c->pg) == PQTRANS_UNKNOWN) {
                pg_conn_break(c);
                return;
        }
        if (PQtransactionStatus(c->pg) == PQTRANS_IDLE)
                return;
        FAILPOINT("postgres", "rollback", "before");
        /* half of the 2 s for the answer, half for a cancel request nobody answers either: ROLLBACK is never slow */
        wait = pg_wait_for(NULL, PG_CANCEL_TIMEOUT_USEC);
        {
                _cleanup_pg_result_ PGresult *result = NULL;
                int r = -ECONNRESET;

                if (PQsendQuery(c->pg, "ROLLBACK") != 0)
                        r = pg_flush(c, &wait);
                if (r >= 0) {
                        c->round_trips++;
                        FAILPOINT("postgres", "rollback", "sent");
                }
                while (r >= 0) {
                        PQclear(TAKE_PTR(result));
                        r = pg_next_result(c, &wait, &result);
                        if (r >= 0 && !result)
                                break;
                }
                if (r < 0) {
                        c->lost = true;
                        pg_conn_break(c);
                }
        }
        FAILPOINT("postgres", "rollback", "after");
}
