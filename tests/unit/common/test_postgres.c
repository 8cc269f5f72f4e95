/* The PostgreSQL client against a real server: what an error means, what a deadline bounds, what a pool does. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/postgres_internal.h"
#include "tests/unit/number.h"

static PgTarget *test_target(void) {
        const char *host = getenv("ROUNDTABLE_TEST_PG_HOST"), *port = getenv("ROUNDTABLE_TEST_PG_PORT");
        PgTarget *t;

        if (!host || !port)
                cr_skip("ROUNDTABLE_TEST_PG_HOST is not set: run under tests/with-servers");
        t = pg_target_new(PG_PRIMARY, host, number(port), getenv("ROUNDTABLE_TEST_PG_DATABASE"),
                          getenv("ROUNDTABLE_TEST_PG_USER"), "not-for-any-text", NULL, NULL);
        cr_assert(t);
        return t;
}

typedef struct Fixture {
        PgTarget *target;
        PgConn *conn;
        CancelToken *token;
        Error error;
} Fixture;

static void fixture_done(Fixture *f) {
        cr_assert(!f->error.text || !strstr(f->error.text, "not-for-any-text"));
        (void) pg_conn_free(f->conn);
        (void) pg_target_free(f->target);
        (void) cancel_token_free(f->token);
        error_done(&f->error);
}
#define _fixture_ _cleanup_(fixture_done)

static Fixture fixture_new(void) {
        Fixture f = { .target = test_target() };

        cr_assert_eq(cancel_token_new(&f.token), 0);
        cr_assert_eq(pg_conn_connect(f.target, "roundtable/test/unit", 0, f.token, &f.conn, &f.error), 0, "%s",
                     error_text(&f.error));
        return f;
}

static int run(Fixture *f, const char *sql) {
        SqlStatement s = { "the_statement", sql };

        return pg_query(f->conn, &s, 0, NULL, f->token, NULL, &f->error);
}

static char *value(Fixture *f, const char *sql) {
        _cleanup_pg_result_ PGresult *result = NULL;
        SqlStatement s = { "value", sql };

        cr_assert_eq(pg_query(f->conn, &s, 0, NULL, f->token, &result, &f->error), 0, "%s", error_text(&f->error));
        cr_assert_eq(PQntuples(result), 1);
        return strdup(PQgetvalue(result, 0, 0));
}

static void assert_value(Fixture *f, const char *sql, const char *expected) {
        _cleanup_free_ char *v = value(f, sql);

        cr_assert_str_eq(v, expected, "%s: %s, expected %s", sql, v, expected);
}

Test(postgres, session_is_what_every_task_relies_on) {
        _fixture_ Fixture f = fixture_new();

        assert_value(&f, "SHOW timezone", "UTC");
        assert_value(&f, "SHOW datestyle", "ISO, MDY");
        assert_value(&f, "SHOW intervalstyle", "postgres");
        assert_value(&f, "SHOW bytea_output", "hex");
        assert_value(&f, "SHOW default_transaction_isolation", "read committed");
        assert_value(&f, "SHOW idle_in_transaction_session_timeout", "1min");
        assert_value(&f, "SHOW client_connection_check_interval", "10s");
        assert_value(&f, "SHOW application_name", "roundtable/test/unit");
        assert_value(&f, "SHOW client_encoding", "UTF8");
        cr_assert_eq(pg_conn_update_session(f.conn, "it's \\ quoted", 1500 * USEC_PER_MSEC, f.token, &f.error), 0);
        assert_value(&f, "SHOW statement_timeout", "1500ms");
        assert_value(&f, "SHOW application_name", "it's \\ quoted");
}

Test(postgres, parameters_and_nulls) {
        _fixture_ Fixture f = fixture_new();
        _cleanup_pg_result_ PGresult *result = NULL;
        const char *const params[] = { "a'b\"c\\d", NULL, "" };
        SqlStatement s = { "params", "SELECT $1::text, $2::text, $3::text" };

        cr_assert_eq(pg_query(f.conn, &s, 3, params, f.token, &result, &f.error), 0);
        cr_assert_str_eq(PQgetvalue(result, 0, 0), "a'b\"c\\d");
        cr_assert(PQgetisnull(result, 0, 1));
        cr_assert(!PQgetisnull(result, 0, 2));
        cr_assert_eq(pg_conn_round_trips(f.conn), 2);
}

Test(postgres, arrays_come_back_as_they_went) {
        static const char *const values[] = { "plain",
                                              "",
                                              "NULL",
                                              "null",
                                              "a\"b",
                                              "a\\b",
                                              "\\",
                                              "{},",
                                              " x ",
                                              NULL,
                                              "z\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80",
                                              "line\nbreak\t",
                                              "'",
                                              "\\\"" };
        _fixture_ Fixture f = fixture_new();
        _cleanup_pg_array_ PgArray a = { 0 };
        _cleanup_pg_result_ PGresult *result = NULL;
        SqlStatement s = { "arrays", "SELECT v FROM unnest($1::text[]) WITH ORDINALITY AS t(v, n) ORDER BY n" };
        const char *params[1];

        cr_assert_str_eq(pg_array_text(&a), "{}");
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                pg_array_append(&a, values[i]);
                cr_assert(pg_array_text(&a)); /* reading in between must not hurt */
        }
        cr_assert_eq(a.n, ELEMENTSOF(values));
        params[0] = pg_array_text(&a);
        cr_assert_eq(pg_query(f.conn, &s, 1, params, f.token, &result, &f.error), 0, "%s", error_text(&f.error));
        cr_assert_eq(PQntuples(result), (int) ELEMENTSOF(values));
        for (int i = 0; i < PQntuples(result); i++)
                if (values[i])
                        cr_assert_str_eq(PQgetvalue(result, i, 0), values[i]);
                else
                        cr_assert(PQgetisnull(result, i, 0));
}

static const struct {
        const char *sqlstate;
        ErrorKind kind;
        int err;
} states[] = {
        { "08006", ERROR_RETRY, -ECONNRESET }, { "22012", ERROR_NEVER, -EBADMSG },
        { "23502", ERROR_NEVER, -EBADMSG },    { "23505", ERROR_NEVER, -EEXIST },
        { "25006", ERROR_RETRY, -EROFS },      { "28000", ERROR_NEVER, -EACCES },
        { "3D000", ERROR_NEVER, -ENOENT },     { "40001", ERROR_RETRY, -EAGAIN },
        { "40P01", ERROR_RETRY, -EAGAIN },     { "40003", ERROR_UNCERTAIN, -ECONNRESET },
        { "42501", ERROR_NEVER, -EACCES },     { "42601", ERROR_NEVER, -EBADMSG },
        { "42P01", ERROR_NEVER, -ENOENT },     { "53100", ERROR_RETRY, -EAGAIN },
        { "53300", ERROR_RETRY, -EAGAIN },     { "55P03", ERROR_RETRY, -EBUSY },
        { "57014", ERROR_RETRY, -ETIMEDOUT },  { "57P03", ERROR_RETRY, -ECONNRESET },
        { "57P04", ERROR_NEVER, -ENOENT },     { "58030", ERROR_RETRY, -EIO },
        { "XX000", ERROR_NEVER, -EBADMSG },    { "P0001", ERROR_NEVER, -EBADMSG },
};

Test(postgres, every_class_of_sqlstate_has_its_kind) {
        _fixture_ Fixture f = fixture_new();

        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                _cleanup_free_ char *sql = str_printf(
                        "DO $$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '%s', DETAIL = 'the detail', "
                        "HINT = 'the hint'; END $$",
                        states[i].sqlstate);

                cr_assert_eq(run(&f, sql), states[i].err, "%s", states[i].sqlstate);
                cr_assert_eq(f.error.kind, states[i].kind, "%s", states[i].sqlstate);
                cr_assert_str_eq(f.error.sqlstate, states[i].sqlstate);
                cr_assert(strstr(f.error.text, f.target->label));
                cr_assert(strstr(f.error.text, "the_statement: made to fail (the detail)"), "%s", f.error.text);
                cr_assert_str_eq(f.error.hint, "the hint");
        }
        cr_assert_eq(run(&f, "SELECT * FROM no_such_table"), -ENOENT);
        cr_assert(strstr(f.error.hint, "roundtable migrate"));
        cr_assert_eq(run(&f, "SELECT 1"), 0, "the connection is still good");
}

typedef struct Canceller {
        Fixture *f;
        PgTarget *target;
} Canceller;

/* Cancels the token once the server is seen to run the statement. */
static void *cancel_when_running(void *userdata) {
        Canceller *c = userdata;
        PgConn *watcher = NULL;
        SqlStatement s = { "watch", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1" };
        const char *const params[] = { "SELECT pg_sleep(60%" };
        bool seen = false;

        if (pg_conn_connect(c->target, "watcher", 0, NULL, &watcher, NULL) < 0)
                return NULL;
        while (!seen) {
                _cleanup_pg_result_ PGresult *result = NULL;

                if (pg_query(watcher, &s, 1, params, NULL, &result, NULL) < 0)
                        break;
                seen = !str_eq(PQgetvalue(result, 0, 0), "0");
        }
        cancel_token_cancel(c->f->token, CANCEL_REQUEST);
        (void) pg_conn_free(watcher);
        return NULL;
}

Test(postgres, cancel_in_mid_query_keeps_the_connection) {
        _fixture_ Fixture f = fixture_new();
        Canceller c = { &f, f.target };
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, cancel_when_running, &c), 0);
        cr_assert_eq(run(&f, "SELECT pg_sleep(600)"), -ECANCELED);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(f.error.kind, ERROR_CANCELED);
        cr_assert(strstr(f.error.text, "on request"), "%s", f.error.text);
        cr_assert(!pg_conn_is_broken(f.conn));
        cancel_token_reset(f.token);
        cr_assert_eq(run(&f, "SELECT 1"), 0);
}

Test(postgres, deadline_in_mid_query) {
        _fixture_ Fixture f = fixture_new();

        cancel_token_set_deadline(f.token, clock_monotonic_usec() + 50 * USEC_PER_MSEC);
        cr_assert_eq(run(&f, "SELECT pg_sleep(600)"), -ETIMEDOUT);
        cr_assert_eq(f.error.kind, ERROR_CANCELED);
        cr_assert(!pg_conn_is_broken(f.conn));
        cr_assert_eq(run(&f, "SELECT 1"), -ETIMEDOUT, "a token that has ended ends every further call");
        cancel_token_reset(f.token);
        cr_assert_eq(run(&f, "SELECT 1"), 0);
}

Test(postgres, statement_timeout_is_retried_later) {
        _fixture_ Fixture f = fixture_new();

        cr_assert_eq(pg_conn_update_session(f.conn, "t", 20 * USEC_PER_MSEC, f.token, &f.error), 0);
        cr_assert_eq(run(&f, "SELECT pg_sleep(600)"), -ETIMEDOUT);
        cr_assert_eq(f.error.kind, ERROR_RETRY);
        cr_assert_str_eq(f.error.sqlstate, "57014");
}

Test(postgres, transactions) {
        _fixture_ Fixture f = fixture_new();

        cr_assert_eq(
                pg_script(f.conn, "make", "CREATE TEMP TABLE t (v int); INSERT INTO t VALUES (1)", f.token, &f.error),
                0);
        cr_assert_eq(pg_begin(f.conn, f.token, &f.error), 0);
        cr_assert_eq(run(&f, "INSERT INTO t VALUES (2)"), 0);
        pg_rollback(f.conn);
        assert_value(&f, "SELECT count(*) FROM t", "1");
        cr_assert_eq(pg_begin(f.conn, f.token, &f.error), 0);
        cr_assert_eq(run(&f, "INSERT INTO t VALUES (2)"), 0);
        cr_assert_eq(pg_commit(f.conn, f.token, &f.error), 0);
        assert_value(&f, "SELECT count(*) FROM t", "2");
        /* the server says ROLLBACK to this COMMIT, without an error */
        cr_assert_eq(pg_begin(f.conn, f.token, &f.error), 0);
        cr_assert_eq(run(&f, "SELECT 1/0"), -EBADMSG);
        cr_assert_eq(pg_conn_transaction_status(f.conn), PQTRANS_INERROR);
        cr_assert_eq(pg_commit(f.conn, f.token, &f.error), -ECANCELED);
        cr_assert_eq(f.error.kind, ERROR_NEVER);
        cr_assert_eq(pg_conn_transaction_status(f.conn), PQTRANS_IDLE);
        pg_rollback(f.conn); /* nothing to do */
        cr_assert_eq(run(&f, "SELECT 1"), 0);
}

Test(postgres, killed_backend_in_and_outside_of_a_transaction) {
        _fixture_ Fixture f = fixture_new();

        cr_assert_eq(pg_begin(f.conn, f.token, &f.error), 0);
        cr_assert_eq(run(&f, "SELECT pg_terminate_backend(pg_backend_pid())"), -ECONNRESET);
        cr_assert_eq(f.error.kind, ERROR_RETRY);
        cr_assert(pg_conn_is_broken(f.conn));
        cr_assert_eq(run(&f, "SELECT 1"), -ENOTCONN);
        cr_assert_eq(f.error.kind, ERROR_RETRY);
        pg_rollback(f.conn);
}

Test(postgres, copy_in) {
        _fixture_ Fixture f = fixture_new();

        cr_assert_eq(run(&f, "CREATE TEMP TABLE t (id int PRIMARY KEY, v text)"), 0);
        cr_assert_eq(pg_copy_begin(f.conn, "copy_t", "COPY t FROM STDIN", f.token, &f.error), 0, "%s",
                     error_text(&f.error));
        cr_assert_eq(run(&f, "SELECT 1"), -EBUSY, "nothing else runs during a COPY");
        for (int i = 0; i < 50000; i++) {
                char row[64];
                int n = snprintf(row, sizeof(row), "%d\tvalue %d\n", i, i);

                cr_assert_eq(pg_copy_put(f.conn, row, (size_t) n, f.token, &f.error), 0);
        }
        cr_assert_eq(pg_copy_end(f.conn, f.token, &f.error), 0, "%s", error_text(&f.error));
        assert_value(&f, "SELECT count(*) FROM t", "50000");
        /* an error of the data shows at the end and leaves a good connection */
        cr_assert_eq(pg_copy_begin(f.conn, "copy_t", "COPY t FROM STDIN", f.token, &f.error), 0);
        cr_assert_eq(pg_copy_put(f.conn, "1\tagain\n", 8, f.token, &f.error), 0);
        cr_assert_eq(pg_copy_end(f.conn, f.token, &f.error), -EEXIST);
        cr_assert_str_eq(f.error.sqlstate, "23505");
        cr_assert_eq(pg_copy_begin(f.conn, "copy_x", "COPY no_such FROM STDIN", f.token, &f.error), -ENOENT);
        cr_assert_eq(pg_copy_begin(f.conn, "copy_x", "SELECT 1", f.token, &f.error), -EINVAL);
        assert_value(&f, "SELECT count(*) FROM t", "50000");
}

Test(postgres, copy_through_pg_query_is_refused) {
        _fixture_ Fixture f = fixture_new();

        cr_assert_eq(run(&f, "COPY (SELECT 1) TO STDOUT"), -EINVAL);
        cr_assert(pg_conn_is_broken(f.conn));
}

static int count_row(const PGresult *row, void *userdata) {
        int *n = userdata;

        cr_assert_eq(PQntuples(row), 1);
        cr_assert_eq(number(PQgetvalue(row, 0, 0)), *n + 1);
        return ++*n == 30000 ? -ENOSPC : 0;
}

Test(postgres, rows_one_by_one) {
        _fixture_ Fixture f = fixture_new();
        SqlStatement all = { "all", "SELECT generate_series(1, 20000)" };
        SqlStatement many = { "many", "SELECT generate_series(1, 100000000)" };
        SqlStatement failing = { "failing", "SELECT 10 / (3 - n) * 0 + n FROM generate_series(1, 5) n" };
        int n = 0;

        cr_assert_eq(pg_query_each(f.conn, &all, 0, NULL, f.token, count_row, &n, &f.error), 0);
        cr_assert_eq(n, 20000);
        n = 0;
        cr_assert_eq(pg_query_each(f.conn, &many, 0, NULL, f.token, count_row, &n, &f.error), -ENOSPC);
        cr_assert_eq(n, 30000);
        n = 0;
        cr_assert_eq(pg_query_each(f.conn, &failing, 0, NULL, f.token, count_row, &n, &f.error), -EBADMSG);
        cr_assert_eq(n, 2);
        cr_assert_eq(run(&f, "SELECT 1"), 0);
}

Test(postgres, refused_connections_say_what_to_do) {
        _cleanup_(pg_target_freep) PgTarget *good = test_target(), *t = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        PgConn *c = NULL;

        t = pg_target_new(PG_REPLICA, good->host, number(good->port), "no_such", good->user, NULL, NULL, NULL);
        cr_assert_eq(pg_conn_connect(t, "t", 0, NULL, &c, &e), -ENOENT);
        cr_assert_eq(e.kind, ERROR_NEVER);
        cr_assert_str_eq(e.sqlstate, "3D000");
        cr_assert(strstr(e.hint, "database.name"));
        (void) pg_target_free(t);
        t = pg_target_new(PG_PRIMARY, good->host, 1, "x", good->user, NULL, NULL, NULL);
        cr_assert_eq(pg_conn_connect(t, "t", 0, NULL, &c, &e), -ECONNREFUSED);
        cr_assert_eq(e.kind, ERROR_RETRY);
        cr_assert(strstr(e.hint, "is the server running"));
        (void) pg_target_free(t);
        t = pg_target_new(PG_PRIMARY, "no-such-host.invalid", 5432, "x", good->user, NULL, NULL, NULL);
        cr_assert_lt(pg_conn_connect(t, "t", 0, NULL, &c, &e), 0);
        cr_assert_eq(e.kind, ERROR_RETRY);
        cr_assert(strstr(e.text, "no-such-host.invalid"));
}

/* ---- pool ---- */

static atomic_int n_up, n_down;

static void on_state(PgServer server, const Error *error, void *userdata) {
        cr_assert_eq(server, PG_PRIMARY);
        cr_assert_eq(userdata, &n_up);
        atomic_fetch_add(error ? &n_down : &n_up, 1);
}

static PgPool *pool_new(size_t max, size_t min, uint64_t acquire_timeout_usec) {
        PgPool *p = NULL;

        cr_assert_eq(
                pg_pool_new_targets(test_target(), NULL, "test", max, min, acquire_timeout_usec, on_state, &n_up, &p),
                0);
        return p;
}
#define _pool_ _cleanup_(pg_pool_freep)

static PgConn *acquire(PgPool *p, const char *task) {
        _cleanup_error_ Error e = ERROR_INIT;
        PgConn *c = NULL;

        cr_assert_eq(pg_pool_acquire(p, PG_REPLICA, task, USEC_PER_SEC, NULL, &c, &e), 0, "%s", error_text(&e));
        return c;
}

Test(postgres_pool, reuses_and_renames) {
        _pool_ PgPool *p = pool_new(2, 1, USEC_PER_SEC);
        SqlStatement s = { "name", "SHOW application_name" };
        _cleanup_pg_result_ PGresult *result = NULL;
        PgConn *a, *b;

        a = acquire(p, "one");
        pg_pool_release(p, a);
        b = acquire(p, "two");
        cr_assert_eq(a, b);
        cr_assert_eq(pg_query(b, &s, 0, NULL, NULL, &result, NULL), 0);
        cr_assert_str_eq(PQgetvalue(result, 0, 0), "roundtable/test/two");
        pg_pool_release(p, b);
        pg_pool_release(p, NULL);
        cr_assert_gt(atomic_load(&n_up), 0);
        cr_assert_eq(atomic_load(&n_down), 0);
}

Test(postgres_pool, full_pool_ends_with_the_token_or_the_timeout) {
        _pool_ PgPool *p = pool_new(1, 1, 30 * USEC_PER_MSEC);
        _cleanup_cancel_token_ CancelToken *token = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        PgConn *c = acquire(p, "one"), *none = NULL;

        cr_assert_eq(pg_pool_acquire(p, PG_PRIMARY, "two", 0, NULL, &none, &e), -EBUSY);
        cr_assert_eq(e.kind, ERROR_RETRY);
        cr_assert(strstr(e.hint, "PG_POOL_MAX"));
        cr_assert_eq(cancel_token_new(&token), 0);
        cancel_token_cancel(token, CANCEL_DRAIN);
        cr_assert_eq(pg_pool_acquire(p, PG_PRIMARY, "two", 0, token, &none, &e), -ECANCELED);
        cr_assert_eq(e.kind, ERROR_CANCELED);
        pg_pool_release(p, c);
        pg_pool_release(p, acquire(p, "two"));
}

Test(postgres_pool, open_transactions_and_dead_connections_are_not_reused) {
        _pool_ PgPool *p = pool_new(2, 1, USEC_PER_SEC);
        _fixture_ Fixture f = fixture_new();
        SqlStatement id = { "pid", "SELECT pg_backend_pid()" };
        _cleanup_free_ char *pid = NULL, *kill_sql = NULL;
        PgConn *c = acquire(p, "one");

        cr_assert_eq(pg_begin(c, NULL, NULL), 0);
        pg_pool_release(p, c);
        c = acquire(p, "one");
        cr_assert_eq(pg_conn_transaction_status(c), PQTRANS_IDLE);
        {
                _cleanup_pg_result_ PGresult *result = NULL;

                cr_assert_eq(pg_query(c, &id, 0, NULL, NULL, &result, NULL), 0);
                pid = strdup(PQgetvalue(result, 0, 0));
        }
        pg_pool_release(p, c);
        /* with a timeout the call returns when the backend is gone */
        kill_sql = str_printf("SELECT pg_terminate_backend(%s, 10000)", pid);
        assert_value(&f, kill_sql, "t");
        c = acquire(p, "one");
        cr_assert_eq(pg_query(c, &id, 0, NULL, NULL, NULL, NULL), 0);
        pg_pool_release(p, c);
        cr_assert_eq(atomic_load(&n_down), 0, "nobody but the pool noticed");
}

typedef struct Crowd {
        PgPool *pool;
        atomic_int busy, most, failed;
} Crowd;

static void *crowd_member(void *userdata) {
        Crowd *crowd = userdata;

        for (int i = 0; i < 20; i++) {
                SqlStatement s = { "work", "SELECT 1" };
                PgConn *c = NULL;
                int busy, most;

                if (pg_pool_acquire(crowd->pool, PG_PRIMARY, "crowd", 0, NULL, &c, NULL) < 0) {
                        atomic_fetch_add(&crowd->failed, 1);
                        continue;
                }
                busy = atomic_fetch_add(&crowd->busy, 1) + 1;
                most = atomic_load(&crowd->most);
                while (busy > most && !atomic_compare_exchange_weak(&crowd->most, &most, busy))
                        ;
                if (pg_query(c, &s, 0, NULL, NULL, NULL, NULL) < 0)
                        atomic_fetch_add(&crowd->failed, 1);
                atomic_fetch_sub(&crowd->busy, 1);
                pg_pool_release(crowd->pool, c);
        }
        return NULL;
}

Test(postgres_pool, never_more_than_its_maximum) {
        _pool_ PgPool *p = pool_new(3, 1, 30 * USEC_PER_SEC);
        _fixture_ Fixture f = fixture_new();
        Crowd crowd = { .pool = p };
        pthread_t threads[8];
        _cleanup_free_ char *n = NULL;

        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, crowd_member, &crowd), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert_eq(atomic_load(&crowd.failed), 0);
        cr_assert_leq(atomic_load(&crowd.most), 3);
        n = value(&f, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'roundtable/test/crowd'");
        cr_assert_leq(number(n), 3);
        pg_pool_trim(p); /* nothing is old yet */
}

Test(postgres_pool, trims_what_was_idle_long_down_to_its_minimum) {
        _pool_ PgPool *p = pool_new(3, 1, USEC_PER_SEC);
        _fixture_ Fixture f = fixture_new();
        PgConn *c[3];
        const char *count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'roundtable/test/trim%'";

        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                c[i] = acquire(p, "trim");
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                pg_pool_release(p, c[i]);
        pg_pool_trim(p);
        assert_value(&f, count, "3");
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                c[i]->idle_since_usec = clock_monotonic_usec() - PG_IDLE_USEC;
        pg_pool_trim(p);
        for (;;) {
                /* the server ends a backend some time after it was told to */
                _cleanup_free_ char *n = value(&f, count);

                cr_assert_neq(number(n), 0);
                if (number(n) == 1)
                        break;
        }
        pg_pool_release(p, acquire(p, "trim"));
}

Test(postgres, sslmode_in_the_words_of_the_setting) {
        static const struct {
                const char *setting, *sslmode, *root_cert;
        } rows[] = {
                { NULL, "disable", "ca.pem" },          { "disable", "disable", "ca.pem" },
                { "prefer", "prefer", "ca.pem" },       { "allow", "allow", "ca.pem" },
                { "require", "require", "ca.pem" },     { "no-verify", "require", "/nonexistent" },
                { "verify-ca", "verify-ca", "ca.pem" }, { "verify-full", "verify-full", "ca.pem" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(pg_target_freep) PgTarget *t = NULL;

                t = pg_target_new(PG_PRIMARY, "h", 1, "d", "u", NULL, rows[i].setting, "ca.pem");
                cr_assert(t);
                cr_assert_str_eq(t->sslmode, rows[i].sslmode);
                cr_assert_str_eq(t->root_cert, rows[i].root_cert);
        }
}

Test(postgres_pool, tells_when_the_server_is_away) {
        PgPool *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        PgConn *c = NULL;
        PgTarget *t = pg_target_new(PG_PRIMARY, "127.0.0.1", 1, "x", "y", NULL, NULL, NULL);

        cr_assert_eq(pg_pool_new_targets(t, NULL, "test", 1, 0, USEC_PER_SEC, on_state, &n_up, &p), 0);
        cr_assert_lt(pg_pool_acquire(p, PG_PRIMARY, "t", 0, NULL, &c, &e), 0);
        cr_assert_lt(pg_pool_acquire(p, PG_PRIMARY, "t", 0, NULL, &c, &e), 0, "its place was given back");
        cr_assert_eq(e.kind, ERROR_RETRY);
        cr_assert_eq(atomic_load(&n_down), 2);
        (void) pg_pool_free(p);
}
