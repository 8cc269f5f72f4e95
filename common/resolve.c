/* A detached thread per look-up; the result belongs to whoever of the two drops the last reference. At most
 * MAX_LOOKUPS are under way at once: a resolver that hangs must not cost a thread for every attempt. */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "common/resolve.h"

#define MAX_LOOKUPS 16

typedef struct Lookup {
        atomic_int references;
        int done_fd;      /* readable when result and status are valid */
        atomic_bool done; /* orders them before their reader: poll() promises nothing */
        int status;       /* of getaddrinfo */
        struct addrinfo *result;
        char port[16];
        char host[];
} Lookup;

static atomic_int n_lookups;

static void lookup_unref(Lookup *l) {
        if (atomic_fetch_sub(&l->references, 1) > 1)
                return;
        if (l->result)
                freeaddrinfo(l->result);
        (void) close_fd(l->done_fd);
        free(l);
}
DEFINE_CLEANUP(Lookup, lookup_unref)

static int look_up(Lookup *l, int flags) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };

        return getaddrinfo(l->host, l->port, &hints, &l->result);
}

static void *lookup_thread(void *userdata) {
        Lookup *l = userdata;

        l->status = look_up(l, AI_ADDRCONFIG);
        atomic_store_explicit(&l->done, true, memory_order_release);
        (void) eventfd_write(l->done_fd, 1);
        lookup_unref(l);
        (void) atomic_fetch_sub(&n_lookups, 1);
        return NULL;
}

static int lookup_start(Lookup *l) {
        sigset_t all, old;
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        if (atomic_fetch_add(&n_lookups, 1) >= MAX_LOOKUPS) {
                (void) atomic_fetch_sub(&n_lookups, 1);
                return -EAGAIN;
        }
        (void) sigfillset(&all);
        (void) pthread_attr_init(&attributes);
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        (void) atomic_fetch_add(&l->references, 1);
        r = -pthread_create(&thread, &attributes, lookup_thread, l);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        (void) pthread_attr_destroy(&attributes);
        if (r < 0) {
                lookup_unref(l);
                (void) atomic_fetch_sub(&n_lookups, 1);
        }
        return r;
}

int resolve_host(const char *host, int port, uint64_t timeout_usec, CancelToken *token, struct addrinfo **ret,
                 Error *reterr) {
        _cleanup_(lookup_unrefp) Lookup *l = NULL;
        int r;

        l = calloc(1, sizeof(*l) + strlen(host) + 1);
        if (!l)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory resolving %s", host);
        (void) memcpy(l->host, host, strlen(host) + 1);
        (void) snprintf(l->port, sizeof(l->port), "%d", port);
        atomic_init(&l->references, 1);
        l->done_fd = -EBADF;
        if (look_up(l, AI_NUMERICHOST | AI_NUMERICSERV) == 0) {
                *ret = TAKE_PTR(l->result);
                return 0;
        }
        l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (l->done_fd < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot resolve %s: %s", host, strerror(errno));
        r = lookup_start(l);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "cannot resolve %s: %s", host,
                                 r == -EAGAIN ? "earlier look-ups still wait for the name server" : strerror(-r));
        r = cancel_token_poll(token, l->done_fd, POLLIN, timeout_usec);
        if (r == 0 || (r > 0 && !atomic_load_explicit(&l->done, memory_order_acquire)))
                return error_set(reterr, ERROR_RETRY, -ETIMEDOUT, "cannot resolve %s: the name server does not answer",
                                 host);
        if (r < 0)
                return error_set(reterr, ERROR_CANCELED, r, "cancelled while resolving %s", host);
        if (l->status != 0) {
                r = error_set(reterr, ERROR_RETRY, -EHOSTUNREACH, "cannot resolve %s: %s", host,
                              gai_strerror(l->status));
                error_set_hint(reterr, "check the host name in the settings and the name server");
                return r;
        }
        *ret = TAKE_PTR(l->result);
        return 0;
}
