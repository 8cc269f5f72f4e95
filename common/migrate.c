/* Migrations, all in one transaction: it takes an advisory lock (we wait for it), looks what the database is, and
 * applies what is missing. A crash anywhere leaves what was there before.
 *
 * What must stay true: nothing is changed in a database that we do not know for certain. */

#include <stdio.h>

#include "common/migrate.h"
#include "common/migrate_names.h"
#include "sql/migrations.h"

/* "roundtab" in ASCII: only this program and Bazooka take it. */
#define ADVISORY_LOCK "8245938559730868578"
#define MAX_LISTED 20

static const SqlStatement take_advisory_lock = { "migrate_wait", "SELECT pg_advisory_xact_lock(" ADVISORY_LOCK ")" };

/* Relations of extensions (pg_stat_statements) are not the database's own. */
static const SqlStatement inspect = {
        "migrate_inspect",
        "WITH own AS (\n"
        "    SELECT c.relname::text AS name FROM pg_class c\n"
        "    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p', 'v', "
        "'m', 'f')\n"
        "        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid\n"
        "                                                  AND d.deptype = 'e'))\n"
        "SELECT current_schema(),\n"
        "    EXISTS (SELECT FROM own WHERE name = 'knex_migrations'),\n"
        "    EXISTS (SELECT FROM own WHERE name = 'knex_migrations_lock'),\n"
        "    EXISTS (SELECT FROM own WHERE name = 'roundtable_migrations'),\n"
        "    count(*) FILTER (WHERE name NOT IN ('knex_migrations', 'knex_migrations_lock', "
        "'roundtable_migrations')),\n"
        "    array_to_string((array_agg(name ORDER BY name COLLATE \"C\") FILTER (WHERE name NOT IN\n"
        "        ('knex_migrations', 'knex_migrations_lock', 'roundtable_migrations')))[1:5], ', ')\n"
        "FROM own",
};
static const SqlStatement read_original = { "migrate_read_original", "SELECT name FROM knex_migrations ORDER BY id" };
static const SqlStatement read_ours = { "migrate_read_ours",
                                        "SELECT version, name FROM roundtable_migrations ORDER BY version" };
/* waits for an original that is migrating in a transaction at this moment */
static const SqlStatement read_lock = { "migrate_read_lock",
                                        "SELECT is_locked FROM knex_migrations_lock ORDER BY index FOR UPDATE" };
static const SqlStatement set_lock = { "migrate_set_lock", "UPDATE knex_migrations_lock SET is_locked = 1" };
static const SqlStatement clear_lock = { "migrate_clear_lock", "UPDATE knex_migrations_lock SET is_locked = 0" };
static const SqlStatement drop_empty_bookkeeping = { "migrate_drop_empty",
                                                     "DROP TABLE IF EXISTS knex_migrations, knex_migrations_lock" };
static const SqlStatement make_ours = {
        "migrate_make_ours",
        "CREATE TABLE IF NOT EXISTS roundtable_migrations (version integer PRIMARY KEY, name text NOT NULL,\n"
        "    applied_at timestamp with time zone NOT NULL DEFAULT now())",
};
static const SqlStatement record = { "migrate_record",
                                     "INSERT INTO roundtable_migrations (version, name) VALUES ($1, $2)" };

typedef struct Migration {
        PgConn *conn;
        CancelToken *token;
        Error *reterr;
        bool has_names, has_lock, has_ours; /* the bookkeeping tables */
        unsigned long n_others;
        char others[512]; /* a few names of other relations */
        size_t n_names;   /* rows of knex_migrations */
        int version;      /* newest of ours; 0: none */
        MigrateReport report;
} Migration;

static int query(Migration *m, const SqlStatement *s, PGresult **ret) {
        return pg_query(m->conn, s, 0, NULL, m->token, ret, m->reterr);
}

static int refuse(Migration *m, const char *hint, int err, const char *format, ...) _printf_(4, 5);
static int refuse(Migration *m, const char *hint, int err, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        (void) error_set(m->reterr, ERROR_NEVER, err, "migrate: %s", text ? text : "refused");
        error_set_hint(m->reterr, "%s", hint);
        return err;
}

static int look(Migration *m) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = query(m, &inspect, &result);
        if (r < 0)
                return r;
        if (PQgetisnull(result, 0, 0))
                return refuse(m, "create schema public, or set the role's search_path", -EBADMSG,
                              "the role has no schema to create tables in");
        m->has_names = *PQgetvalue(result, 0, 1) == 't';
        m->has_lock = *PQgetvalue(result, 0, 2) == 't';
        m->has_ours = *PQgetvalue(result, 0, 3) == 't';
        m->n_others = strtoul(PQgetvalue(result, 0, 4), NULL, 10);
        (void) snprintf(m->others, sizeof(m->others), "%s", PQgetvalue(result, 0, 5));
        return 0;
}

/* -EBUSY when a run of the original tool holds it, or was killed with it. */
static int look_at_lock(Migration *m) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        if (!m->has_lock)
                return 0;
        r = query(m, &read_lock, &result);
        if (r < 0)
                return r;
        for (int i = 0; i < PQntuples(result); i++)
                if (!PQgetisnull(result, i, 0) && !str_eq(PQgetvalue(result, i, 0), "0")) {
                        (void) error_set(m->reterr, ERROR_RETRY, -EBUSY,
                                         "migrate: the original tool's lock is set (knex_migrations_lock.is_locked)");
                        error_set_hint(m->reterr, "if no migration of the original runs now, one was killed: check the "
                                                  "database, then UPDATE knex_migrations_lock SET is_locked = 0");
                        return -EBUSY;
                }
        return 0;
}

/* Index of the original's migration that was recorded under this name, or -1. */
static int known_name(const char *recorded) {
        size_t length = strlen(recorded);

        if (length < 3 || (!str_eq(recorded + length - 3, ".js") && !str_eq(recorded + length - 3, ".ts")))
                return -1;
        for (int i = 0; i < MIGRATE_ORIGINAL_COUNT; i++)
                if (strlen(migrate_original_names[i]) == length - 3 &&
                    strncmp(migrate_original_names[i], recorded, length - 3) == 0)
                        return i;
        return -1;
}

static void list_name(Buffer *b, size_t n, const char *name) {
        if (n < MAX_LISTED)
                (void) buffer_printf(b, "%s%s", n > 0 ? ", " : "", name);
}

static const char *list_text(Buffer *b, size_t n) {
        if (n > MAX_LISTED)
                (void) buffer_printf(b, ", and %zu more", n - MAX_LISTED);
        return b->data ? b->data : "?";
}

/* The original's list must be empty or complete, and hold nothing else. */
static int look_at_names(Migration *m) {
        bool seen[MIGRATE_ORIGINAL_COUNT] = { false };
        _cleanup_buffer_ Buffer unknown = { 0 }, missing = { 0 };
        _cleanup_pg_result_ PGresult *result = NULL;
        size_t n_unknown = 0, n_missing = 0;
        int r;

        if (!m->has_names)
                return 0;
        r = query(m, &read_original, &result);
        if (r < 0)
                return r;
        m->n_names = (size_t) PQntuples(result);
        for (int i = 0; i < PQntuples(result); i++) {
                int known = known_name(PQgetvalue(result, i, 0));

                if (known < 0)
                        list_name(&unknown, n_unknown++, PQgetvalue(result, i, 0));
                else
                        seen[known] = true;
        }
        for (size_t i = 0; i < MIGRATE_ORIGINAL_COUNT; i++)
                if (!seen[i])
                        list_name(&missing, n_missing++, migrate_original_names[i]);
        if (n_unknown > 0)
                return refuse(m, "the original service that migrated it is newer than this program: upgrade roundtable",
                              -EBADMSG, "%zu migrations in knex_migrations are unknown to this program: %s", n_unknown,
                              list_text(&unknown, n_unknown));
        if (m->n_names > 0 && n_missing > 0)
                return refuse(m, "finish the migration with the original tool, or start from an empty database",
                              -EBADMSG,
                              "the database is migrated in part: %d of %d migrations of the original are recorded; "
                              "missing: %s",
                              MIGRATE_ORIGINAL_COUNT - (int) n_missing, MIGRATE_ORIGINAL_COUNT,
                              list_text(&missing, n_missing));
        return 0;
}

static const SqlMigration *find_migration(int version) {
        for (const SqlMigration *s = sql_migrations; s->name; s++)
                if (s->version == version)
                        return s;
        return NULL;
}

static int newest_known(void) {
        int newest = 0;

        for (const SqlMigration *s = sql_migrations; s->name; s++)
                newest = s->version > newest ? s->version : newest;
        return newest;
}

/* What is recorded must be a beginning of our list. On a database of the original the baseline itself is not recorded.
 */
static int look_at_ours(Migration *m) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r, expected, version;

        if (!m->has_ours)
                return 0;
        r = query(m, &read_ours, &result);
        if (r < 0)
                return r;
        if (PQntuples(result) == 0)
                return 0;
        /* the column is an integer; should it be another table of this name, 0 is no migration of ours */
        (void) parse_int(PQgetvalue(result, 0, 0), &version);
        expected = version == 1 ? 1 : 2;
        m->report.state = expected == 1 ? MIGRATE_OURS : MIGRATE_ORIGINAL;
        for (int i = 0; i < PQntuples(result); i++, expected++) {
                const SqlMigration *s;

                (void) parse_int(PQgetvalue(result, i, 0), &version);
                s = find_migration(version);
                if (!s && version > newest_known())
                        return refuse(
                                m, "upgrade roundtable on this host", -EBADMSG,
                                "the database is newer than this program: it has migration %d (%s), the newest known "
                                "is %d",
                                version, PQgetvalue(result, i, 1), newest_known());
                if (!s || version != expected || !str_eq(s->name, PQgetvalue(result, i, 1)))
                        return refuse(m, "restore the database, or compare roundtable_migrations with sql/migrations",
                                      -EBADMSG, "roundtable_migrations records %d (%s) where %d (%s) is expected",
                                      version, PQgetvalue(result, i, 1), expected,
                                      find_migration(expected) ? find_migration(expected)->name : "nothing");
                m->version = version;
        }
        return 0;
}

/* Decides what the database is. */
static int judge(Migration *m) {
        if (m->version > 0 || m->n_names > 0) {
                if (m->n_names == 0)
                        return refuse(
                                m, "restore the database, or start from an empty one", -EBADMSG,
                                "roundtable_migrations records version %d, but knex_migrations is empty: the original "
                                "tool rolled back, or the tables were cleared",
                                m->version);
                if (m->n_others == 0)
                        return refuse(m, "restore the database, or start from an empty one", -EBADMSG,
                                      "the database is recorded as migrated, but has no tables");
                if (m->report.state != MIGRATE_OURS)
                        m->report.state = MIGRATE_ORIGINAL;
                return 0;
        }
        if (m->n_others > 0)
                return refuse(
                        m, "point database.name (DB_NAME) at an empty database or at the indexer's", -EBADMSG,
                        "the database is not the indexer's: it has %lu tables and views that no migration made: %s%s",
                        m->n_others, m->others, m->n_others > 5 ? ", …" : "");
        if (m->has_ours)
                return refuse(m, "drop table roundtable_migrations, or start from an empty database", -EBADMSG,
                              "roundtable_migrations is there and empty");
        m->report.state = MIGRATE_EMPTY;
        return 0;
}

static int apply(Migration *m, const SqlMigration *s) {
        _cleanup_free_ char *version = NULL;
        const char *params[2];
        int r;

        r = pg_script(m->conn, s->name, s->text, m->token, m->reterr);
        if (r < 0) {
                (void) error_prefix(m->reterr, "migration %04d", s->version);
                return r;
        }
        version = str_printf("%d", s->version);
        if (!version)
                return error_set(m->reterr, ERROR_RETRY, -ENOMEM, "migrate: out of memory");
        params[0] = version;
        params[1] = s->name;
        r = pg_query(m->conn, &record, ELEMENTSOF(params), params, m->token, NULL, m->reterr);
        if (r < 0)
                return r;
        m->report.applied++;
        return 0;
}

static int apply_missing(Migration *m) {
        int r;

        if (m->report.state == MIGRATE_EMPTY) {
                /* the original makes its tables before it looks for work: they may be there, empty */
                r = query(m, &drop_empty_bookkeeping, NULL);
                if (r < 0)
                        return r;
                r = apply(m, find_migration(1));
                if (r < 0)
                        return r;
                m->version = 1;
        } else if (m->version == 0)
                m->version = 1; /* what the original made is the baseline */
        if (m->version == newest_known())
                return 0;
        r = query(m, &make_ours, NULL);
        for (const SqlMigration *s = sql_migrations; r >= 0 && s->name; s++)
                if (s->version > m->version)
                        r = apply(m, s);
        m->version = newest_known();
        return r;
}

/* Everything between BEGIN and COMMIT. */
static int run(Migration *m) {
        int r;

        r = query(m, &take_advisory_lock, NULL);
        if (r < 0)
                return r;
        r = look(m);
        if (r < 0)
                return r;
        r = look_at_lock(m);
        if (r < 0)
                return r;
        r = look_at_names(m);
        if (r < 0)
                return r;
        r = look_at_ours(m);
        if (r < 0)
                return r;
        r = judge(m);
        if (r < 0)
                return r;
        if (m->has_lock) {
                r = query(m, &set_lock, NULL);
                if (r < 0)
                        return r;
        }
        r = apply_missing(m);
        if (r < 0)
                return r;
        return m->has_lock && m->report.state != MIGRATE_EMPTY ? query(m, &clear_lock, NULL) : 0;
}

int migrate_run(PgConn *conn, CancelToken *token, MigrateReport *ret, Error *reterr) {
        _cleanup_error_ Error local = ERROR_INIT;
        Migration m = { .conn = conn, .token = token, .reterr = reterr ? reterr : &local };
        int r;

        r = pg_begin(conn, token, m.reterr);
        if (r < 0)
                return r;
        r = run(&m);
        if (r >= 0)
                r = pg_commit(conn, token, m.reterr);
        if (r < 0) {
                pg_rollback(conn);
                return r;
        }
        m.report.version = m.version;
        *ret = m.report;
        return 0;
}
