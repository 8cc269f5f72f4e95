/* Moving bytes: libpq in non-blocking mode, every wait with the caller's token, and cancelling what the server is at.
 * What must stay true: no function here waits on a server longer than its PgWait, or 2 s once that is over. */

#include <poll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/postgres_internal.h"

PgWait pg_wait_for(CancelToken *token, uint64_t usec) {
        return (PgWait){ .token = token, .until_usec = clock_monotonic_usec() + usec };
}

int pg_wait_socket(PGconn *pg, short events, const PgWait *wait) {
        uint64_t timeout = USEC_INFINITY, now = clock_monotonic_usec();
        int fd = PQsocket(pg), r;

        if (fd < 0)
                return -ECONNRESET;
        if (wait->until_usec != USEC_INFINITY)
                timeout = wait->until_usec > now ? wait->until_usec - now : 0;
        r = cancel_token_poll(wait->token, fd, events, timeout);
        return r == 0 ? -ETIME : r;
}

void pg_conn_break(PgConn *c) {
        c->broken = true;
        if (PQsocket(c->pg) >= 0)
                (void) shutdown(PQsocket(c->pg), SHUT_RDWR);
}

static int lost(PgConn *c) {
        c->lost = true;
        pg_conn_break(c);
        return -ECONNRESET;
}

int pg_flush(PgConn *c, const PgWait *wait) {
        for (;;) {
                int r;

                r = PQflush(c->pg);
                if (r == 0)
                        return 0;
                if (r < 0)
                        return lost(c);
                r = pg_wait_socket(c->pg, POLLIN | POLLOUT, wait);
                if (r < 0)
                        return r;
                /* a server that is sending does not read: take its data, or both sides wait for ever */
                if ((r & ~POLLOUT) && PQconsumeInput(c->pg) == 0)
                        return lost(c);
        }
}

int pg_next_result(PgConn *c, const PgWait *wait, PGresult **ret) {
        while (PQisBusy(c->pg)) {
                int r;

                r = pg_wait_socket(c->pg, POLLIN, wait);
                if (r < 0)
                        return r;
                if (PQconsumeInput(c->pg) == 0)
                        return lost(c);
        }
        *ret = PQgetResult(c->pg);
        if (*ret)
                c->answered = true;
        /* libpq makes an error result of its own when the server closes: it has no SQLSTATE */
        if (PQstatus(c->pg) == CONNECTION_BAD &&
            (!*ret || (PQresultStatus(*ret) == PGRES_FATAL_ERROR && !PQresultErrorField(*ret, PG_DIAG_SQLSTATE)))) {
                PQclear(*ret);
                *ret = NULL;
                return lost(c);
        }
        if (*ret && PQstatus(c->pg) == CONNECTION_BAD)
                c->broken = c->lost = true;
        return 0;
}

static void cancel_run(void *data) {
        char unused[256];

        /* an answer or none: what counts is what the query's own connection says */
        (void) PQcancel(data, unused, sizeof(unused));
}

static void cancel_free(void *data) {
        PQfreeCancel(data);
}

/* Reads until the statement has no further result; keeps the first failed or else the last one. */
static int drain(PgConn *c, const PgWait *wait, PGresult **ret) {
        _cleanup_pg_result_ PGresult *kept = NULL;

        for (;;) {
                PGresult *result;
                int r;

                r = pg_next_result(c, wait, &result);
                if (r < 0)
                        return r;
                if (!result)
                        break;
                if (PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT ||
                    PQresultStatus(result) == PGRES_COPY_BOTH) {
                        /* only pg_copy_begin() may start one, and it does not come here */
                        PQclear(result);
                        pg_conn_break(c);
                        return -EPROTO;
                }
                if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
                        PQclear(result);
                        continue;
                }
                PQclear(kept);
                kept = result;
        }
        *ret = TAKE_PTR(kept);
        return 0;
}

int pg_cancel_and_drain(PgConn *c, PGresult **ret) {
        _cleanup_(pg_helper_unrefp) PgHelper *helper = NULL;
        _cleanup_pg_result_ PGresult *result = NULL;
        PgWait wait = pg_wait_for(NULL, PG_CANCEL_TIMEOUT_USEC);
        PGcancel *cancel;
        int r;

        cancel = PQgetCancel(c->pg);
        r = cancel ? pg_helper_start(cancel_run, cancel_free, cancel, &helper) : -ENOMEM;
        if (r >= 0)
                r = drain(c, &wait, &result);
        if (r >= 0) {
                uint64_t now = clock_monotonic_usec();

                /* a request that is still under way would hit the next statement */
                r = cancel_token_poll(NULL, pg_helper_fd(helper), POLLIN,
                                      wait.until_usec > now ? wait.until_usec - now : 0);
                r = r > 0 ? 0 : -ETIME;
        }
        if (r < 0) {
                if (r == -ETIME)
                        c->lost = true;
                pg_conn_break(c);
                if (!result)
                        return -ETIMEDOUT;
        }
        *ret = TAKE_PTR(result);
        return 0;
}

static bool result_is_good(const PGresult *result) {
        ExecStatusType status = PQresultStatus(result);

        return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY ||
               status == PGRES_SINGLE_TUPLE;
}

int pg_wait_failed(PgConn *c, const char *name, int r, bool sent, bool uncertain, CancelToken *token, PGresult **ret,
                   Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int err = r;

        if (r != -ECANCELED && r != -ETIMEDOUT && r != -ETIME) {
                c->lost = true;
                pg_conn_break(c);
                /* what was not handed over completely cannot have been run */
                return pg_error_lost(c, name, sent && uncertain, reterr);
        }
        if (!sent)
                pg_conn_break(c);
        else if (pg_cancel_and_drain(c, &result) >= 0 && result) {
                const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

                if (result_is_good(result)) {
                        *ret = TAKE_PTR(result);
                        return 0;
                }
                if (!str_eq(sqlstate, "57014"))
                        return pg_error_from_result(c, name, result, reterr);
                uncertain = false;
        }
        if (r == -ETIME) {
                r = error_set(reterr, sent && uncertain && c->broken ? ERROR_UNCERTAIN : ERROR_RETRY, -ETIMEDOUT,
                              "%s: %s: no answer", c->target->label, name);
                error_set_hint(reterr,
                               "the server accepts connections but does not answer: is it frozen or overloaded?");
                return r;
        }
        return pg_error_canceled(c, name, err, token, sent && uncertain, reterr);
}

int pg_simple(PgConn *c, const char *name, const char *text, const PgWait *wait, PGresult **ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        /* a statement in a transaction is undone with it; COMMIT and statements outside of one may have happened */
        bool uncertain = PQtransactionStatus(c->pg) == PQTRANS_IDLE || str_eq(name, "commit");
        bool sent = false;
        int r;

        if (PQsendQuery(c->pg, text) == 0) {
                c->lost = true;
                pg_conn_break(c);
                return pg_error_lost(c, name, false, reterr);
        }
        r = pg_flush(c, wait);
        if (r >= 0) {
                sent = true;
                c->round_trips++;
                FAILPOINT("postgres", name, "sent");
                r = drain(c, wait, &result);
        }
        if (r < 0) {
                r = pg_wait_failed(c, name, r, sent, uncertain, wait->token, &result, reterr);
                if (r < 0)
                        return r;
        }
        if (!result)
                return error_set(reterr, ERROR_NEVER, -EPROTO, "%s: %s: no result", c->target->label, name);
        if (!result_is_good(result))
                return pg_error_from_result(c, name, result, reterr);
        if (ret)
                *ret = TAKE_PTR(result);
        return 0;
}
