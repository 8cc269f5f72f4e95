/* See server_state.h. */

#include <pthread.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/message_ids.h"
#include "workers/server_state.h"

static const char *const names[] = {
        [SERVER_POSTGRES_PRIMARY] = "postgres-primary",
        [SERVER_POSTGRES_REPLICA] = "postgres-replica",
        [SERVER_REDIS] = "redis",
        [SERVER_KAFKA] = "kafka",
};

typedef struct ServerState {
        bool lost;
        uint64_t since_usec;
        char *error;
} ServerState;

struct ServerStates {
        pthread_mutex_t mutex;
        ServerState states[SERVER_COUNT];
        void (*on_health)(const char *health, void *userdata);
        void *userdata;
};

int server_states_new(void (*on_health)(const char *health, void *userdata), void *userdata, ServerStates **ret) {
        ServerStates *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        (void) pthread_mutex_init(&s->mutex, NULL);
        s->on_health = on_health;
        s->userdata = userdata;
        for (size_t i = 0; i < SERVER_COUNT; i++)
                s->states[i].since_usec = clock_realtime_usec();
        *ret = s;
        return 0;
}

ServerStates *server_states_free(ServerStates *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < SERVER_COUNT; i++)
                free(s->states[i].error);
        (void) pthread_mutex_destroy(&s->mutex);
        free(s);
        return NULL;
}

static void tell_health(ServerStates *s) {
        _cleanup_buffer_ Buffer b = { 0 };

        for (size_t i = 0; i < SERVER_COUNT; i++)
                if (s->states[i].lost)
                        (void) buffer_printf(&b, "%s%s: %s", b.length > 0 ? "; " : "", names[i],
                                             s->states[i].error ?: "lost");
        /* the text goes into one line of a notification */
        for (size_t i = 0; i < b.length; i++)
                if (b.data[i] == '\n')
                        b.data[i] = ' ';
        if (s->on_health && !buffer_failed(&b))
                s->on_health(b.length > 0 ? b.data : "ok", s->userdata);
}

static void log_change(Server server, const Error *error) {
        LogField field = LOG_STRING("SERVER", "server", names[server]);
        _cleanup_free_ char *text = NULL;

        if (error) {
                text = str_printf("%s cannot be reached", names[server]);
                log_error_object(LOG_LEVEL_WARNING, MESSAGE_SERVER_LOST, "worker#servers", error, &field, 1,
                                 text ?: names[server]);
                return;
        }
        text = str_printf("%s answers again", names[server]);
        log_write(LOG_LEVEL_NOTICE, MESSAGE_SERVER_BACK, "worker#servers", &field, 1, text ?: names[server]);
}

void server_states_report(ServerStates *s, Server server, const Error *error) {
        ServerState *state = &s->states[server];

        if (error && error->kind == ERROR_CANCELED)
                return;
        (void) pthread_mutex_lock(&s->mutex);
        if (state->lost != (error != NULL)) {
                state->lost = error != NULL;
                state->since_usec = clock_realtime_usec();
                free(state->error);
                state->error = error ? strdup(error_text(error)) : NULL;
                /* under the mutex, so that records and health come in the order of the changes */
                log_change(server, error);
                tell_health(s);
        }
        (void) pthread_mutex_unlock(&s->mutex);
}

bool server_states_ok(ServerStates *s, Server server) {
        bool ok;

        (void) pthread_mutex_lock(&s->mutex);
        ok = !s->states[server].lost;
        (void) pthread_mutex_unlock(&s->mutex);
        return ok;
}

json_t *server_states_to_json(ServerStates *s) {
        json_t *o = json_object();
        int r = 0;

        (void) pthread_mutex_lock(&s->mutex);
        for (size_t i = 0; o && i < SERVER_COUNT && r >= 0; i++)
                r = json_object_set_new(o, names[i],
                                        json_pack("{s:b, s:I, s:s?}", "ok", (int) !s->states[i].lost, "since_usec",
                                                  (json_int_t) s->states[i].since_usec, "error", s->states[i].error));
        (void) pthread_mutex_unlock(&s->mutex);
        if (r < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}
