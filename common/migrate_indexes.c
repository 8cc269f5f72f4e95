/* Builds the optional indexes. An interrupted CREATE INDEX CONCURRENTLY leaves an index behind that costs every write
 * and serves no read: it is told from one that somebody is building by the lock that builders of ours hold. */

#include "common/migrate_indexes.h"
#include "sql/indexes.h"

/* Tried, not waited for: the snapshot of one who waits is what CREATE INDEX CONCURRENTLY waits for. */
static const SqlStatement take_lock = {
        "indexes_lock",
        "SELECT pg_try_advisory_xact_lock(hashtextextended('roundtable indexes', 0))",
};
/* Also lets go of the snapshot of the statement before, which would be waited for until the end of time: the portal
 * that has it lives on until the next one. */
static const SqlStatement keep_lock = { "indexes_keep_lock", "SET LOCAL idle_in_transaction_session_timeout = 0" };
static const SqlStatement look = {
        "indexes_look",
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(quote_ident($1))",
};

const char *index_outcome_to_string(IndexOutcome outcome) {
        switch (outcome) {
        case INDEX_PRESENT:
                return "present";
        case INDEX_BUILT:
                return "built";
        case INDEX_REBUILT:
                return "rebuilt";
        }
        return "?";
}

static int drop_invalid(PgConn *conn, const char *name, CancelToken *token, Error *reterr) {
        /* names are ours: [a-z_]+ */
        _cleanup_free_ char *text = str_printf("DROP INDEX CONCURRENTLY %s", name);
        const SqlStatement drop = { "indexes_drop", text };

        return text ? pg_query(conn, &drop, 0, NULL, token, NULL, reterr)
                    : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

static int build(PgConn *conn, const SqlIndex *index, CancelToken *token, IndexOutcome *ret, Error *reterr) {
        const SqlStatement create = { index->name, index->text };
        _cleanup_pg_result_ PGresult *row = NULL;
        int r;

        r = pg_query(conn, &look, 1, &index->name, token, &row, reterr);
        if (r < 0)
                return r;
        *ret = PQntuples(row) == 0 ? INDEX_BUILT : INDEX_REBUILT;
        if (*ret == INDEX_REBUILT && str_eq(PQgetvalue(row, 0, 0), "t")) {
                *ret = INDEX_PRESENT;
                return 0;
        }
        if (*ret == INDEX_REBUILT)
                r = drop_invalid(conn, index->name, token, reterr);
        return r < 0 ? r : pg_query(conn, &create, 0, NULL, token, NULL, reterr);
}

static int lock(PgConn *guard, CancelToken *token, Error *reterr) {
        _cleanup_pg_result_ PGresult *row = NULL;
        int r;

        r = pg_query(guard, &take_lock, 0, NULL, token, &row, reterr);
        if (r < 0)
                return r;
        if (str_eq(PQgetvalue(row, 0, 0), "t"))
                return pg_query(guard, &keep_lock, 0, NULL, token, NULL, reterr);
        r = error_set(reterr, ERROR_RETRY, -EBUSY, "another process is building the optional indexes");
        error_set_hint(reterr, "wait for it: SELECT * FROM pg_stat_progress_create_index");
        return r;
}

int migrate_indexes(PgConn *conn, PgConn *guard, CancelToken *token, IndexCallback callback, void *userdata,
                    Error *reterr) {
        int r;

        r = pg_begin(guard, token, reterr);
        if (r >= 0)
                r = lock(guard, token, reterr);
        for (const SqlIndex *i = sql_indexes; r >= 0 && i->name; i++) {
                IndexOutcome outcome;

                r = build(conn, i, token, &outcome, reterr);
                if (r >= 0)
                        callback(i->name, outcome, userdata);
        }
        pg_rollback(guard);
        return r;
}
