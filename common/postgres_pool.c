/* Connections shared by a worker's executor threads. The free places of a server are an eventfd semaphore, so that
 * waiting for one is a poll like every other wait, with the same token. No I/O happens under the mutex. */

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/postgres_internal.h"

typedef struct Side {
        PgTarget *target; /* NULL: this server is not used */
        int places_fd;
        PgConn *idle; /* most recently used first */
        size_t n_idle;
        size_t n_open; /* idle and borrowed */
} Side;

struct PgPool {
        char *family;
        size_t max, min;
        uint64_t acquire_timeout_usec;
        PgStateCallback on_state;
        void *userdata;
        pthread_mutex_t mutex; /* guards the lists and counts of `sides` */
        Side sides[2];
};

static Side *side_for(PgPool *p, PgServer server) {
        return p->sides[server].target ? &p->sides[server] : &p->sides[PG_PRIMARY];
}

int pg_pool_new_targets(PgTarget *primary, PgTarget *replica, const char *family, size_t max, size_t min,
                        uint64_t acquire_timeout_usec, PgStateCallback on_state, void *userdata, PgPool **ret) {
        PgPool *p;

        p = calloc(1, sizeof(*p));
        if (!p) {
                (void) pg_target_free(primary);
                (void) pg_target_free(replica);
                return -ENOMEM;
        }
        (void) pthread_mutex_init(&p->mutex, NULL);
        p->max = max;
        p->min = min < max ? min : max;
        p->acquire_timeout_usec = acquire_timeout_usec;
        p->on_state = on_state;
        p->userdata = userdata;
        p->sides[PG_PRIMARY] = (Side){ .target = primary, .places_fd = -EBADF };
        p->sides[PG_REPLICA] = (Side){ .target = replica, .places_fd = -EBADF };
        p->family = strdup(family);
        if (!p->family || !primary) {
                (void) pg_pool_free(p);
                return -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTSOF(p->sides); i++) {
                p->sides[i].places_fd = eventfd((unsigned) max, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK);
                if (p->sides[i].places_fd < 0) {
                        int r = -errno;

                        (void) pg_pool_free(p);
                        return r;
                }
        }
        *ret = p;
        return 0;
}

PgPool *pg_pool_free(PgPool *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(p->sides); i++) {
                Side *s = &p->sides[i];

                while (s->idle) {
                        PgConn *next = s->idle->next;

                        (void) pg_conn_free(s->idle);
                        s->idle = next;
                }
                (void) close_fd(s->places_fd);
                (void) pg_target_free(s->target);
        }
        (void) pthread_mutex_destroy(&p->mutex);
        free(p->family);
        free(p);
        return NULL;
}

static void tell_state(PgPool *p, const Side *s, const Error *error) {
        if (p->on_state)
                p->on_state(s->target->server, error, p->userdata);
}

/* A borrowed connection came back broken, and it was the server's doing. */
static void tell_lost(PgPool *p, const Side *s, const PgConn *c) {
        _cleanup_error_ Error error = ERROR_INIT;

        if (str_empty(PQerrorMessage(c->pg))) {
                (void) error_set(&error, ERROR_RETRY, -ETIMEDOUT, "%s: the server does not answer", s->target->label);
                error_set_hint(&error, "is it frozen, overloaded, or cut off by a firewall?");
        } else
                (void) pg_error_lost(c, "a borrowed connection", false, &error);
        tell_state(p, s, &error);
}

static int take_place(PgPool *p, Side *s, CancelToken *token, Error *reterr) {
        uint64_t until = clock_monotonic_usec() + p->acquire_timeout_usec;

        for (;;) {
                uint64_t now = clock_monotonic_usec();
                eventfd_t unused;
                int r;

                if (eventfd_read(s->places_fd, &unused) == 0)
                        return 0;
                r = cancel_token_poll(token, s->places_fd, POLLIN, until > now ? until - now : 0);
                if (r == -ECANCELED || r == -ETIMEDOUT)
                        return error_set(reterr, ERROR_CANCELED, r, "%s: waiting for a free connection: %s",
                                         s->target->label, cancel_reason_to_string(cancel_token_reason(token)));
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "%s: waiting for a free connection: %s",
                                         s->target->label, strerror(-r));
                if (r == 0) {
                        r = error_set(reterr, ERROR_RETRY, -EBUSY, "%s: all %zu connections are in use",
                                      s->target->label, p->max);
                        error_set_hint(reterr, "raise worker.pg_pool_max (PG_POOL_MAX) or lower "
                                               "worker.max_concurrent_running_tasks");
                        return r;
                }
        }
}

static void give_place(Side *s) {
        (void) eventfd_write(s->places_fd, 1);
}

/* Takes an idle connection, one that this task used before if there is one. */
static PgConn *pop_idle(PgPool *p, Side *s, const char *application_name) {
        PgConn **best, *c;

        (void) pthread_mutex_lock(&p->mutex);
        best = &s->idle;
        for (PgConn **i = &s->idle; *i; i = &(*i)->next)
                if (str_eq((*i)->application_name, application_name)) {
                        best = i;
                        break;
                }
        c = *best;
        if (c) {
                *best = c->next;
                c->next = NULL;
                s->n_idle--;
        }
        (void) pthread_mutex_unlock(&p->mutex);
        return c;
}

static void count_open(PgPool *p, Side *s, int change) {
        (void) pthread_mutex_lock(&p->mutex);
        s->n_open += (size_t) change;
        (void) pthread_mutex_unlock(&p->mutex);
}

static void close_conn(PgPool *p, Side *s, PgConn *c) {
        (void) pg_conn_free(c);
        count_open(p, s, -1);
}

/* An idle connection that still works, or NULL; < 0 when the token ended or the server does not answer. */
static int reuse_idle(PgPool *p, Side *s, const char *name, uint64_t timeout, CancelToken *token, PgConn **ret,
                      Error *reterr) {
        PgConn *c;

        while ((c = pop_idle(p, s, name))) {
                _cleanup_error_ Error error = ERROR_INIT;
                int r;

                if (pg_conn_is_dead(c)) {
                        close_conn(p, s, c);
                        continue;
                }
                r = pg_conn_update_session(c, name, timeout, token, &error);
                if (r >= 0) {
                        *ret = c;
                        return 0;
                }
                close_conn(p, s, c);
                /* lost since the poll: the next one, or a new one, says whether the server is there */
                if (error.kind == ERROR_RETRY && r == -ECONNRESET)
                        continue;
                if (error.kind != ERROR_CANCELED)
                        tell_state(p, s, &error);
                if (reterr)
                        error_move(reterr, &error);
                return r;
        }
        *ret = NULL;
        return 0;
}

static int open_new(PgPool *p, Side *s, const char *name, uint64_t timeout, CancelToken *token, PgConn **ret,
                    Error *reterr) {
        _cleanup_error_ Error error = ERROR_INIT;
        int r;

        r = pg_conn_connect(s->target, name, timeout, token, ret, &error);
        if (r < 0) {
                /* being cancelled says nothing about the server; not answering until the deadline does */
                if (error.kind != ERROR_CANCELED || r == -ETIMEDOUT)
                        tell_state(p, s, &error);
                if (reterr)
                        error_move(reterr, &error);
                return r;
        }
        count_open(p, s, 1);
        tell_state(p, s, NULL);
        return 0;
}

int pg_pool_acquire(PgPool *p, PgServer server, const char *task, uint64_t statement_timeout_usec, CancelToken *token,
                    PgConn **ret, Error *reterr) {
        Side *s = side_for(p, server);
        char name[64]; /* the server keeps 63 bytes */
        PgConn *c = NULL;
        int r;

        (void) snprintf(name, sizeof(name), "roundtable/%s/%s", p->family, task);
        r = take_place(p, s, token, reterr);
        if (r < 0)
                return r;
        r = reuse_idle(p, s, name, statement_timeout_usec, token, &c, reterr);
        if (r >= 0 && !c)
                r = open_new(p, s, name, statement_timeout_usec, token, &c, reterr);
        if (r < 0) {
                give_place(s);
                return r;
        }
        c->answered = false;
        *ret = c;
        return 0;
}

void pg_pool_release(PgPool *p, PgConn *c) {
        Side *s;

        if (!c)
                return;
        s = side_for(p, c->target->server);
        if (c->lost)
                tell_lost(p, s, c);
        else if (c->answered)
                tell_state(p, s, NULL);
        if (c->broken || c->copy || PQtransactionStatus(c->pg) != PQTRANS_IDLE || PQstatus(c->pg) != CONNECTION_OK)
                close_conn(p, s, c);
        else {
                c->idle_since_usec = clock_monotonic_usec();
                (void) pthread_mutex_lock(&p->mutex);
                c->next = s->idle;
                s->idle = c;
                s->n_idle++;
                (void) pthread_mutex_unlock(&p->mutex);
        }
        give_place(s);
}

/* Unlinks what has been idle too long; the list is in order of use, so those are at its end. */
static PgConn *take_old(PgPool *p, Side *s, uint64_t now) {
        PgConn **i = &s->idle, *old = NULL;

        while (*i) {
                PgConn *c = *i;

                if (s->n_open > p->min && now - c->idle_since_usec >= PG_IDLE_USEC) {
                        *i = c->next;
                        c->next = old;
                        old = c;
                        s->n_idle--;
                        s->n_open--;
                } else
                        i = &c->next;
        }
        return old;
}

void pg_pool_trim(PgPool *p) {
        uint64_t now = clock_monotonic_usec();

        for (size_t i = 0; i < ELEMENTSOF(p->sides); i++) {
                PgConn *old;

                (void) pthread_mutex_lock(&p->mutex);
                old = take_old(p, &p->sides[i], now);
                (void) pthread_mutex_unlock(&p->mutex);
                while (old) {
                        PgConn *next = old->next;

                        (void) pg_conn_free(old);
                        old = next;
                }
        }
}
