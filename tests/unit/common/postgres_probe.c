/* What the fault tests drive: reads commands on stdin and does them with one pool, one line of JSON for each.
 *
 *   acquire MSEC | query MSEC SQL | begin MSEC | commit MSEC | rollback | release | trim
 *
 * MSEC is the deadline of the call; 0: none. The server is given as the original's variables DB_*. */

#include <jansson.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/postgres_internal.h"

static int n_up, n_down;
static char last_state[256];

static void on_state(PgServer server, const Error *error, void *userdata) {
        (void) server;
        (void) userdata;
        *(error ? &n_down : &n_up) += 1;
        (void) snprintf(last_state, sizeof(last_state), "%s", error ? error_text(error) : "up");
}

static PgTarget *target_from_environment(void) {
        int port;

        return parse_int(getenv("DB_PORT") ?: "5432", &port) < 0
                       ? NULL
                       : pg_target_new(PG_PRIMARY, getenv("DB_HOSTNAME"), port, getenv("DB_NAME"),
                                       getenv("DB_USERNAME"), getenv("DB_PASSWORD"), getenv("PGSSLMODE"),
                                       getenv("PGSSLROOTCERT"));
}

static int run_query(PgConn *c, const char *sql, CancelToken *token, json_t *reply, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        SqlStatement s = { "probe", sql };
        int r;

        r = pg_query(c, &s, 0, NULL, token, &result, reterr);
        if (r >= 0 && PQntuples(result) > 0)
                (void) json_object_set_new(reply, "value", json_string(PQgetvalue(result, 0, 0)));
        return r;
}

static int dispatch(PgPool *p, PgConn **c, char *line, json_t *reply, Error *reterr) {
        _cleanup_cancel_token_ CancelToken *token = NULL;
        char *rest = NULL, *verb = strtok_r(line, " ", &rest), *msec = strtok_r(NULL, " ", &rest);
        int r, n;

        r = cancel_token_new(&token);
        if (r < 0)
                return r;
        if (msec && parse_int(msec, &n) >= 0 && n > 0)
                cancel_token_set_deadline(token, clock_monotonic_usec() + (uint64_t) n * USEC_PER_MSEC);
        if (str_eq(verb, "trim")) {
                pg_pool_trim(p);
                return 0;
        }
        if (str_eq(verb, "acquire"))
                return pg_pool_acquire(p, PG_PRIMARY, rest && *rest ? rest : "probe", 0, token, c, reterr);
        if (!*c)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "nothing is borrowed");
        if (str_eq(verb, "query"))
                return run_query(*c, rest, token, reply, reterr);
        if (str_eq(verb, "begin"))
                return pg_begin(*c, token, reterr);
        if (str_eq(verb, "commit"))
                return pg_commit(*c, token, reterr);
        if (str_eq(verb, "rollback"))
                pg_rollback(*c);
        else if (str_eq(verb, "release"))
                pg_pool_release(p, TAKE_PTR(*c));
        else
                return error_set(reterr, ERROR_NEVER, -EINVAL, "unknown verb");
        return 0;
}

int main(void) {
        _cleanup_(pg_pool_freep) PgPool *p = NULL;
        PgConn *c = NULL;
        char *line = NULL;
        size_t size = 0;

        if (pg_pool_new_targets(target_from_environment(), NULL, "probe", 2, 1, USEC_PER_SEC, on_state, NULL, &p) < 0)
                return 1;
        while (getline(&line, &size, stdin) > 0) {
                _cleanup_error_ Error e = ERROR_INIT;
                uint64_t began = clock_monotonic_usec();
                json_t *reply = json_object();
                char *text;
                int r;

                line[strcspn(line, "\n")] = '\0';
                r = dispatch(p, &c, line, reply, &e);
                (void) json_object_set_new(reply, "r", json_integer(r));
                (void) json_object_set_new(reply, "kind", json_string(error_kind_to_string(e.kind)));
                (void) json_object_set_new(reply, "sqlstate", json_string(e.sqlstate));
                (void) json_object_set_new(reply, "text", json_string(e.text ? e.text : ""));
                (void) json_object_set_new(reply, "hint", json_string(e.hint ? e.hint : ""));
                (void) json_object_set_new(reply, "broken", json_boolean(c && pg_conn_is_broken(c)));
                (void) json_object_set_new(reply, "up", json_integer(n_up));
                (void) json_object_set_new(reply, "down", json_integer(n_down));
                (void) json_object_set_new(reply, "state", json_string(last_state));
                (void) json_object_set_new(reply, "seconds",
                                           json_real((double) (clock_monotonic_usec() - began) / USEC_PER_SEC));
                text = json_dumps(reply, JSON_COMPACT);
                (void) printf("%s\n", text);
                (void) fflush(stdout);
                free(text);
                json_decref(reply);
        }
        pg_pool_release(p, c);
        free(line);
        return 0;
}
