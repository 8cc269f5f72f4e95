/* Where the connections go, from the settings. */

#include "common/postgres_internal.h"

PgTarget *pg_target_from_settings(const Settings *settings, PgServer server) {
        const char *host = settings_string(settings, server == PG_REPLICA ? "database.replica_host" : "database.host");

        return pg_target_new(
                server, host, (int) settings_int(settings, "database.port"), settings_string(settings, "database.name"),
                settings_string(settings, "database.user"), settings_string(settings, "database.password"),
                settings_string(settings, "database.sslmode"), settings_string(settings, "database.ssl_root_cert"));
}

int pg_conn_open(const Settings *settings, PgServer server, const char *application_name, CancelToken *token,
                 PgConn **ret, Error *reterr) {
        _cleanup_(pg_target_freep) PgTarget *target = NULL;
        int r;

        if (server == PG_REPLICA && !settings_bool(settings, "database.use_replica"))
                server = PG_PRIMARY;
        target = pg_target_from_settings(settings, server);
        if (!target)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "%s: out of memory", pg_server_to_string(server));
        r = pg_conn_connect(target, application_name, 0, token, ret, reterr);
        if (r < 0)
                return r;
        (*ret)->owned_target = TAKE_PTR(target);
        return 0;
}

int pg_pool_new(const Settings *settings, const char *family, PgStateCallback on_state, void *userdata, PgPool **ret) {
        PgTarget *primary, *replica = NULL;

        primary = pg_target_from_settings(settings, PG_PRIMARY);
        if (!primary)
                return -ENOMEM;
        if (settings_bool(settings, "database.use_replica")) {
                replica = pg_target_from_settings(settings, PG_REPLICA);
                if (!replica) {
                        (void) pg_target_free(primary);
                        return -ENOMEM;
                }
        }
        return pg_pool_new_targets(
                primary, replica, family, (size_t) settings_worker_int(settings, family, "worker.pg_pool_max"),
                (size_t) settings_worker_int(settings, family, "worker.pg_pool_min"),
                settings_duration_usec(settings, "database.acquire_timeout"), on_state, userdata, ret);
}
