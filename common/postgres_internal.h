#pragma once

/* What the files common/postgres*.c share. Nobody else includes this but their tests. */

#include "common/postgres.h"

#define PG_CONNECT_TIMEOUT_USEC (5 * USEC_PER_SEC)
/* How long a server may take to answer a cancel request or a ROLLBACK before the connection is given up. */
#define PG_CANCEL_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define PG_IDLE_USEC (30 * USEC_PER_SEC)

/* Where and as whom to connect; immutable after pg_target_new(). */
typedef struct PgTarget {
        PgServer server;
        char *host; /* a name, an address, or the directory of a unix socket */
        char port[8];
        char *database;
        char *user;
        char *password;      /* or NULL */
        const char *sslmode; /* libpq's word */
        char *root_cert;     /* or NULL */
        char *label;         /* "postgres-primary db.example:5432/indexer", for every error text */
} PgTarget;

/* `sslmode` is the setting's word or NULL. Returns NULL when out of memory. */
PgTarget *pg_target_new(PgServer server, const char *host, int port, const char *database, const char *user,
                        const char *password, const char *sslmode, const char *root_cert);
PgTarget *pg_target_from_settings(const Settings *settings, PgServer server);
PgTarget *pg_target_free(PgTarget *t);
DEFINE_CLEANUP(PgTarget, pg_target_free)

struct PgConn {
        PGconn *pg;
        const PgTarget *target; /* borrowed; the pool's, or owned_target */
        PgTarget *owned_target;
        char *application_name;
        uint64_t statement_timeout_usec; /* what the session has; 0: none */
        uint64_t round_trips;
        bool broken;
        bool answered; /* the server answered since the connection was borrowed */
        bool lost;     /* broken because the server went away or did not answer: news for the state callback */
        char *copy;    /* name of the running COPY, or NULL */
        bool copy_in_transaction;
        Buffer copy_data;
        uint64_t idle_since_usec; /* while in the pool */
        PgConn *next;             /* in the pool's list of idle ones */
};

/* What ends a wait: the caller's token, and an instant of our own (USEC_INFINITY: none). */
typedef struct PgWait {
        CancelToken *token;
        uint64_t until_usec;
} PgWait;
#define PG_WAIT_TOKEN(t) ((PgWait){ .token = (t), .until_usec = USEC_INFINITY })
PgWait pg_wait_for(CancelToken *token, uint64_t usec);
/* Revents (> 0), -ECANCELED or -ETIMEDOUT (the token), -ETIME (our instant), or another -errno. */
int pg_wait_socket(PGconn *pg, short events, const PgWait *wait);

/* Connects to the target and sets the session up. The target is borrowed for the connection's life. */
int pg_conn_connect(const PgTarget *target, const char *application_name, uint64_t statement_timeout_usec,
                    CancelToken *token, PgConn **ret, Error *reterr);
/* Changes application_name and statement_timeout where they differ, in one round trip of at most 5 s. */
int pg_conn_update_session(PgConn *c, const char *application_name, uint64_t statement_timeout_usec, CancelToken *token,
                           Error *reterr);
/* An idle connection has nothing to say except that it ends. */
bool pg_conn_is_dead(const PgConn *c);
/* Shuts the socket down, so that nothing can wait on it any more. */
void pg_conn_break(PgConn *c);

/* A pool with given targets; `replica` NULL: its requests go to the primary. Takes both over, also on failure. */
int pg_pool_new_targets(PgTarget *primary, PgTarget *replica, const char *family, size_t max, size_t min,
                        uint64_t acquire_timeout_usec, PgStateCallback on_state, void *userdata, PgPool **ret);

/* postgres_error.c */
ErrorKind pg_kind_of_sqlstate(const char *sqlstate);
int pg_errno_of_sqlstate(const char *sqlstate);
/* From an error result of statement `name`. */
int pg_error_from_result(const PgConn *c, const char *name, const PGresult *result, Error *reterr);
/* From what a connection attempt left in PQerrorMessage (verbose, so that it holds the SQLSTATE). */
int pg_error_from_connect(const PgTarget *target, const char *message, bool had_password, Error *reterr);
int pg_error_lost(const PgConn *c, const char *name, bool uncertain, Error *reterr);
int pg_error_canceled(const PgConn *c, const char *name, int err, CancelToken *token, bool uncertain, Error *reterr);
/* First line of libpq's message without the line end. Returns buf. */
const char *pg_first_line(const char *message, char *buf, size_t size);

/* postgres_wire.c: sending and receiving with the waits above. Each returns 0 or what pg_wait_socket() does;
 * -ECONNRESET when the connection is gone. */
int pg_flush(PgConn *c, const PgWait *wait);
/* *ret is NULL when the statement has no further result. */
int pg_next_result(PgConn *c, const PgWait *wait, PGresult **ret);
/* Asks the server to stop the running statement and reads what is left of it, at most 2 s: 0 and the last result
 * in *ret (or NULL), or -ETIMEDOUT when nothing came: the connection is broken then. */
int pg_cancel_and_drain(PgConn *c, PGresult **ret);
/* Runs a simple query and gives the last (or first failed) result. `commit`: its loss is uncertain. */
int pg_simple(PgConn *c, const char *name, const char *text, const PgWait *wait, PGresult **ret, Error *reterr);
/* Translates a failed wait during statement `name`; may turn into success (0, *ret set) when the statement was
 * finished before the cancel request reached it. `sent`: it had been handed over completely. */
int pg_wait_failed(PgConn *c, const char *name, int r, bool sent, bool uncertain, CancelToken *token, PGresult **ret,
                   Error *reterr);

/* postgres_helper.c: a detached thread for what blocks without limit (PQcancel). */
typedef struct PgHelper PgHelper;
/* `run` and `free_data` get `data`; whoever leaves last (the thread or the caller) frees it. Takes data over, also on
 * failure. -EAGAIN when too many are stuck already. */
int pg_helper_start(void (*run)(void *data), void (*free_data)(void *data), void *data, PgHelper **ret);
/* Becomes readable when `run` has returned. */
int pg_helper_fd(const PgHelper *h);
PgHelper *pg_helper_unref(PgHelper *h);
DEFINE_CLEANUP(PgHelper, pg_helper_unref)
