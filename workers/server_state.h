#pragma once

/* Which servers are there, as the clients of all threads report it: one record per change, X_ROUNDTABLE_HEALTH for the
 * supervisor, an object for status. Thread-safe. */

#include <jansson.h>

#include "common/error.h"

typedef enum Server {
        SERVER_POSTGRES_PRIMARY,
        SERVER_POSTGRES_REPLICA,
        SERVER_REDIS,
        SERVER_KAFKA,
        SERVER_COUNT
} Server;

typedef struct ServerStates ServerStates;

/* on_health (may be NULL): "ok" or what is missing, after each change, one call at a time. */
int server_states_new(void (*on_health)(const char *health, void *userdata), void *userdata, ServerStates **ret);
ServerStates *server_states_free(ServerStates *s);
DEFINE_CLEANUP(ServerStates, server_states_free)

/* error NULL: it answered. A cancelled call says nothing about the server and is passed over. */
void server_states_report(ServerStates *s, Server server, const Error *error);
bool server_states_ok(ServerStates *s, Server server);
/* {"postgres-primary":{"ok","since_usec","error"},…}; new reference or NULL. */
json_t *server_states_to_json(ServerStates *s);
