/* Detached helper threads. A helper that blocks for ever (a frozen server) costs a thread, never the
 * caller's time; their number is bounded. All signals stay with the main thread. */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "common/postgres_internal.h"

#define MAX_HELPERS 32
#define STACK_SIZE ((size_t) 512 * 1024)

struct PgHelper {
        atomic_int refs;
        int fd;
        void (*run)(void *data);
        void (*free_data)(void *data);
        void *data;
};

static atomic_int n_helpers;

int pg_helper_fd(const PgHelper *h) {
        return h->fd;
}

PgHelper *pg_helper_unref(PgHelper *h) {
        if (!h || atomic_fetch_sub(&h->refs, 1) > 1)
                return NULL;
        (void) close_fd(h->fd);
        h->free_data(h->data);
        free(h);
        return NULL;
}

static void *helper_main(void *userdata) {
        PgHelper *h = userdata;

        h->run(h->data);
        (void) eventfd_write(h->fd, 1);
        (void) pg_helper_unref(h);
        atomic_fetch_sub(&n_helpers, 1);
        return NULL;
}

static int start_detached(void *(*main_function)(void *), void *userdata) {
        pthread_attr_t attributes;
        sigset_t all, kept;
        pthread_t thread;
        int r;

        r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void) pthread_attr_setstacksize(&attributes, STACK_SIZE);
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &kept);
        r = pthread_create(&thread, &attributes, main_function, userdata);
        (void) pthread_sigmask(SIG_SETMASK, &kept, NULL);
        (void) pthread_attr_destroy(&attributes);
        return -r;
}

int pg_helper_start(void (*run)(void *data), void (*free_data)(void *data), void *data, PgHelper **ret) {
        PgHelper *h;
        int r;

        h = calloc(1, sizeof(*h));
        if (!h) {
                free_data(data);
                return -ENOMEM;
        }
        *h = (PgHelper){ .refs = 1, .run = run, .free_data = free_data, .data = data };
        h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (h->fd < 0) {
                r = -errno;
                goto fail;
        }
        if (atomic_fetch_add(&n_helpers, 1) >= MAX_HELPERS) {
                atomic_fetch_sub(&n_helpers, 1);
                r = -EAGAIN;
                goto fail;
        }
        atomic_fetch_add(&h->refs, 1);
        r = start_detached(helper_main, h);
        if (r < 0) {
                atomic_fetch_sub(&n_helpers, 1);
                atomic_fetch_sub(&h->refs, 1);
                goto fail;
        }
        *ret = h;
        return 0;
fail:
        (void) pg_helper_unref(h);
        return r;
}
