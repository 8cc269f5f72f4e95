/* Sending. The host's name is looked up by a thread of its own, since getaddrinfo may block for half a minute; until it
 * has an address datagrams are dropped, as UDP would. sendto never waits (MSG_DONTWAIT). */

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "common/json.h"
#include "common/metrics.h"
#include "common/metrics_format.h"

#define REFRESH_SECONDS 60
#define RETRY_SECONDS 5 /* while there is no address at all */

/* What the resolver shares. It may sit in getaddrinfo when the owner leaves, so the last of the two frees. */
typedef struct Resolver {
        pthread_mutex_t mutex;
        pthread_cond_t wake;
        unsigned references;
        bool stop;
        bool resolved;
        struct sockaddr_storage address;
        socklen_t address_length;
        char *host;
        char port[8];
} Resolver;

struct Metrics {
        int fd;
        MetricsTags globals; /* owned copies */
        Resolver *resolver;
};

static void resolver_unref_unlock(Resolver *r) {
        bool last = --r->references == 0;

        (void) pthread_mutex_unlock(&r->mutex);
        if (!last)
                return;
        (void) pthread_mutex_destroy(&r->mutex);
        (void) pthread_cond_destroy(&r->wake);
        free(r->host);
        free(r);
}

/* Only IPv4, as the original's socket. A failed look-up keeps the last address. `flags` as for getaddrinfo. */
static void resolver_look_up(Resolver *r, int flags) {
        const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM, .ai_flags = flags };
        struct addrinfo *list = NULL;

        if (getaddrinfo(r->host, r->port, &hints, &list) != 0)
                return;
        (void) pthread_mutex_lock(&r->mutex);
        memcpy(&r->address, list->ai_addr, list->ai_addrlen);
        r->address_length = list->ai_addrlen;
        r->resolved = true;
        (void) pthread_mutex_unlock(&r->mutex);
        freeaddrinfo(list);
}

static void *resolver_run(void *userdata) {
        Resolver *r = userdata;

        (void) pthread_mutex_lock(&r->mutex);
        while (!r->stop) {
                struct timespec until;

                (void) pthread_mutex_unlock(&r->mutex);
                resolver_look_up(r, 0);
                (void) pthread_mutex_lock(&r->mutex);
                (void) clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_sec += r->resolved ? REFRESH_SECONDS : RETRY_SECONDS;
                while (!r->stop && pthread_cond_timedwait(&r->wake, &r->mutex, &until) != ETIMEDOUT)
                        ;
        }
        resolver_unref_unlock(r);
        return NULL;
}

static int resolver_start(const char *host, uint16_t port, Resolver **ret) {
        pthread_condattr_t monotonic;
        sigset_t all, old;
        pthread_t thread;
        Resolver *r;
        int k;

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->host = strdup(host);
        if (!r->host) {
                free(r);
                return -ENOMEM;
        }
        (void) snprintf(r->port, sizeof(r->port), "%u", port);
        (void) pthread_mutex_init(&r->mutex, NULL);
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&r->wake, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        r->references = 2;
        /* an address in digits is ready at once: a run in the foreground may be over before the thread has begun */
        resolver_look_up(r, AI_NUMERICHOST);
        /* signals belong to the main thread's loop */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        k = pthread_create(&thread, NULL, resolver_run, r);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (k != 0) {
                r->references = 1;
                (void) pthread_mutex_lock(&r->mutex);
                resolver_unref_unlock(r);
                return -k;
        }
        (void) pthread_detach(thread);
        *ret = r;
        return 0;
}

static int copy_string(const char **to, const char *from) {
        *to = from ? strdup(from) : NULL;
        return from && !*to ? -ENOMEM : 0;
}

int metrics_new_for(const char *host, uint16_t port, const MetricsTags *globals, Metrics **ret) {
        Metrics *m;
        int r = 0;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->fd = -EBADF;
        if (copy_string(&m->globals.node_env, globals->node_env) < 0 ||
            copy_string(&m->globals.service_name, globals->service_name) < 0 ||
            copy_string(&m->globals.entity_id, globals->entity_id) < 0 ||
            copy_string(&m->globals.env, globals->env) < 0 || copy_string(&m->globals.service, globals->service) < 0 ||
            copy_string(&m->globals.version, globals->version) < 0)
                r = -ENOMEM;
        if (r == 0 && !str_eq(globals->node_env, "test")) {
                m->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                r = m->fd < 0 ? -errno : resolver_start(host, port, &m->resolver);
        }
        if (r < 0) {
                metrics_free(m);
                return r;
        }
        *ret = m;
        return 0;
}

int metrics_new(const Settings *s, Metrics **ret) {
        const MetricsTags globals = {
                .node_env = settings_string(s, "node_env"),
                .service_name = settings_string(s, "service_name"),
                .entity_id = settings_string(s, "datadog.entity_id"),
                .env = settings_string(s, "datadog.env"),
                .service = settings_string(s, "datadog.service"),
                .version = settings_string(s, "datadog.version"),
        };

        return metrics_new_for(settings_string(s, "statsd.host"), (uint16_t) settings_int(s, "statsd.port"), &globals,
                               ret);
}

Metrics *metrics_free(Metrics *m) {
        if (!m)
                return NULL;
        if (m->resolver) {
                (void) pthread_mutex_lock(&m->resolver->mutex);
                m->resolver->stop = true;
                (void) pthread_cond_signal(&m->resolver->wake);
                resolver_unref_unlock(m->resolver);
        }
        (void) close_fd(m->fd);
        free((char *) m->globals.node_env);
        free((char *) m->globals.service_name);
        free((char *) m->globals.entity_id);
        free((char *) m->globals.env);
        free((char *) m->globals.service);
        free((char *) m->globals.version);
        free(m);
        return NULL;
}

static void metrics_send(Metrics *m, bool whole, const char *name, const char *value, const char *type,
                         const MetricTag *tags, size_t n_tags) {
        _cleanup_buffer_ Buffer b = { 0 };
        struct sockaddr_storage address;
        socklen_t length = 0;

        if (!m || !m->resolver)
                return;
        (void) pthread_mutex_lock(&m->resolver->mutex);
        if (m->resolver->resolved) {
                address = m->resolver->address;
                length = m->resolver->address_length;
        }
        (void) pthread_mutex_unlock(&m->resolver->mutex);
        if (length == 0 || metrics_format(&b, &m->globals, whole, name, value, type, tags, n_tags) < 0)
                return;
        /* Lost like any datagram: a missing agent is no failure of the caller. */
        (void) sendto(m->fd, b.data, b.length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &address, length);
}

static void send_int(Metrics *m, const char *name, int64_t value, const char *type, const MetricTag *tags, size_t n) {
        char text[32];

        (void) snprintf(text, sizeof(text), "%lld", (long long) value);
        metrics_send(m, false, name, text, type, tags, n);
}

static void send_double(Metrics *m, bool whole, const char *name, double value, const char *type, const MetricTag *tags,
                        size_t n) {
        _cleanup_buffer_ Buffer b = { 0 };

        if (json_append_double(&b, value, false) == 0)
                metrics_send(m, whole, name, b.data, type, tags, n);
}

void metrics_count(Metrics *m, const char *name, int64_t value, const MetricTag *tags, size_t n_tags) {
        send_int(m, name, value, "c", tags, n_tags);
}

void metrics_gauge(Metrics *m, const char *name, double value, const MetricTag *tags, size_t n_tags) {
        send_double(m, false, name, value, "g", tags, n_tags);
}

void metrics_timing(Metrics *m, const char *name, int64_t msec, const MetricTag *tags, size_t n_tags) {
        send_int(m, name, msec, "ms", tags, n_tags);
}

void metrics_distribution(Metrics *m, const char *name, double value, const MetricTag *tags, size_t n_tags) {
        send_double(m, true, name, value, "d", tags, n_tags);
}
