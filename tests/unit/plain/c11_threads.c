/* For ThreadSanitizer builds: the threads and locks of C11 that librdkafka uses, by those of POSIX, which are the same
 * in glibc. ThreadSanitizer knows only the latter: a thread that it did not see being made crashes in the first
 * function that it watches. */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "mtx_t is not glibc's");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "cnd_t is not glibc's");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t is not glibc's");

typedef struct Start {
        thrd_start_t function;
        void *argument;
} Start;

static int result(int error) {
        switch (error) {
        case 0:
                return thrd_success;
        case ENOMEM:
                return thrd_nomem;
        case ETIMEDOUT:
                return thrd_timedout;
        case EBUSY:
                return thrd_busy;
        default:
                return thrd_error;
        }
}

static void *run(void *userdata) {
        Start start = *(Start *) userdata;

        free(userdata);
        return (void *) (intptr_t) start.function(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument) {
        Start *start = malloc(sizeof(*start));
        int error;

        if (!start)
                return thrd_nomem;
        *start = (Start){ function, argument };
        error = pthread_create((pthread_t *) thread, NULL, run, start);
        if (error != 0)
                free(start);
        return result(error);
}

int thrd_join(thrd_t thread, int *ret) {
        void *value;
        int error = pthread_join((pthread_t) thread, &value);

        if (error == 0 && ret)
                *ret = (int) (intptr_t) value;
        return result(error);
}

thrd_t thrd_current(void) {
        return (thrd_t) pthread_self();
}

int mtx_init(mtx_t *mutex, int type) {
        pthread_mutexattr_t attributes;
        int error;

        (void) pthread_mutexattr_init(&attributes);
        if (type & mtx_recursive)
                (void) pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
        error = pthread_mutex_init((pthread_mutex_t *) mutex, &attributes);
        (void) pthread_mutexattr_destroy(&attributes);
        return result(error);
}

void mtx_destroy(mtx_t *mutex) {
        (void) pthread_mutex_destroy((pthread_mutex_t *) mutex);
}

int mtx_lock(mtx_t *mutex) {
        return result(pthread_mutex_lock((pthread_mutex_t *) mutex));
}

int mtx_trylock(mtx_t *mutex) {
        return result(pthread_mutex_trylock((pthread_mutex_t *) mutex));
}

int mtx_unlock(mtx_t *mutex) {
        return result(pthread_mutex_unlock((pthread_mutex_t *) mutex));
}

int cnd_init(cnd_t *condition) {
        return result(pthread_cond_init((pthread_cond_t *) condition, NULL));
}

void cnd_destroy(cnd_t *condition) {
        (void) pthread_cond_destroy((pthread_cond_t *) condition);
}

int cnd_signal(cnd_t *condition) {
        return result(pthread_cond_signal((pthread_cond_t *) condition));
}

int cnd_broadcast(cnd_t *condition) {
        return result(pthread_cond_broadcast((pthread_cond_t *) condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex) {
        return result(pthread_cond_wait((pthread_cond_t *) condition, (pthread_mutex_t *) mutex));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
        return result(pthread_cond_timedwait((pthread_cond_t *) condition, (pthread_mutex_t *) mutex, until));
}

void call_once(once_flag *flag, void (*function)(void)) {
        (void) pthread_once((pthread_once_t *) flag, function);
}
