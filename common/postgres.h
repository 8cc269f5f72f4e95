#pragma once

/* libpq with deadlines: every wait is PQsend* plus poll on {socket, cancel token}. On cancel a cancel request is sent
 * from a helper thread; after 2 s without an answer the socket is closed. Session: UTC, ISO dates, READ COMMITTED,
 * application_name=roundtable/<family>/<task>, statement_timeout, idle_in_transaction_session_timeout 60 s,
 * connect_timeout 5, keep-alives 10/5/3, tcp_user_timeout 30 s, client_connection_check_interval where the server has
 * it. Names are resolved by a thread of their own.
 *
 * A PgConn belongs to one thread at a time. PgPool is thread-safe. */

#include <libpq-fe.h>

#include "common/cancel.h"
#include "common/error.h"
#include "common/settings.h"

/* A statement with a name for error texts, failpoints and application_name; text is embedded from sql/ at build time
 * (see sql/meson.build: `extern const SqlStatement sql_<family>_<file>;`). */
typedef struct SqlStatement {
        const char *name;
        const char *text;
} SqlStatement;

typedef enum PgServer { PG_PRIMARY, PG_REPLICA } PgServer;
const char *pg_server_to_string(PgServer server); /* "postgres-primary", "postgres-replica" */

typedef struct PgConn PgConn;
typedef struct PgPool PgPool;

/* Called (from any thread) when a server's reachability changes or is confirmed: error == NULL means it answered. */
typedef void (*PgStateCallback)(PgServer server, const Error *error, void *userdata);

/* One pool per worker process and server: at most worker.pg_pool_max connections each, worker.pg_pool_min stay open.
 * Lazy: no I/O here. Without `database.use_replica` replica requests go to the primary. */
int pg_pool_new(const Settings *settings, const char *family, PgStateCallback on_state, void *userdata, PgPool **ret);
PgPool *pg_pool_free(PgPool *p);
DEFINE_CLEANUP(PgPool, pg_pool_free)
/* Borrows a connection; waits for a free one until the token's deadline. `task` names it in application_name;
 * statement_timeout_usec is set if it differs from the connection's. Errors: Error names host, port, database, user,
 * and a HINT. */
int pg_pool_acquire(PgPool *p, PgServer server, const char *task, uint64_t statement_timeout_usec, CancelToken *token,
                    PgConn **ret, Error *reterr);
/* Gives it back: closed if it is broken or in a transaction. NULL is fine. */
void pg_pool_release(PgPool *p, PgConn *c);
/* Closes what has been idle for 30 s above pg_pool_min. Called by a timer of the worker. */
void pg_pool_trim(PgPool *p);

/* One connection outside a pool (roundtable-admin). Caller frees with pg_conn_free. */
int pg_conn_open(const Settings *settings, PgServer server, const char *application_name, CancelToken *token,
                 PgConn **ret, Error *reterr);
PgConn *pg_conn_free(PgConn *c);
DEFINE_CLEANUP(PgConn, pg_conn_free)

static inline void pg_result_clear(PGresult *r) {
        PQclear(r);
}
DEFINE_CLEANUP(PGresult, pg_result_clear)
#define _cleanup_pg_result_ _cleanup_(pg_result_clearp)

/* Runs one statement (extended protocol, text format; `params` borrowed, NULL entries are SQL NULL) and waits for its
 * result. ret_result may be NULL. Errors by SQLSTATE: 40001/40P01/55P03/57014(statement_timeout)/57P0x/08/53 -> RETRY,
 * connection lost after sending a COMMIT or a statement outside a transaction -> UNCERTAIN, others -> NEVER. */
int pg_query(PgConn *c, const SqlStatement *statement, size_t n_params, const char *const *params, CancelToken *token,
             PGresult **ret_result, Error *reterr);
/* Several statements without parameters in one simple query (migrations). */
int pg_script(PgConn *c, const char *name, const char *text, CancelToken *token, Error *reterr);
/* COPY … FROM STDIN: begin, any number of puts, end. */
int pg_copy_begin(PgConn *c, const char *name, const char *copy_sql, CancelToken *token, Error *reterr);
int pg_copy_put(PgConn *c, const char *data, size_t length, CancelToken *token, Error *reterr);
int pg_copy_end(PgConn *c, CancelToken *token, Error *reterr);
int pg_begin(PgConn *c, CancelToken *token, Error *reterr);
int pg_commit(PgConn *c, CancelToken *token, Error *reterr);
/* Never fails the caller; bounded to 2 s; marks the connection broken when the server does not answer. */
void pg_rollback(PgConn *c);
bool pg_conn_is_broken(const PgConn *c);
PGTransactionStatusType pg_conn_transaction_status(const PgConn *c);
/* Rows are delivered in chunks of at most `page` to the callback (single-row mode), memory is constant. */
typedef int (*PgRowCallback)(const PGresult *row, void *userdata);
int pg_query_each(PgConn *c, const SqlStatement *statement, size_t n_params, const char *const *params,
                  CancelToken *token, PgRowCallback callback, void *userdata, Error *reterr);

/* Statements sent so far (round trips), for the bench and the task record. */
uint64_t pg_conn_round_trips(const PgConn *c);

/* Builds '{"a","b",NULL}': every element quoted, `"` and `\` escaped. */
typedef struct PgArray {
        Buffer text;
        size_t n;
        bool closed; /* text ends in the closing brace */
} PgArray;
void pg_array_append(PgArray *a, const char *value); /* NULL: SQL NULL */
const char *pg_array_text(PgArray *a); /* borrowed until the next append; "{}" when empty; NULL out of memory */
void pg_array_done(PgArray *a);
#define _cleanup_pg_array_ _cleanup_(pg_array_done)
