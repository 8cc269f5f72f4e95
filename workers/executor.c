/* Executor threads. One mutex guards the two queues and the list of what runs; the list is told to the supervisor under
 * it, so that what it says was true, in this order. */

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "common/failpoint.h"
#include "workers/executor.h"

typedef struct Queue {
        ExecutorJob *first, **last;
} Queue;

typedef struct Thread {
        Executor *executor;
        unsigned slot;
        pthread_t thread;
} Thread;

struct Executor {
        pthread_mutex_t mutex;
        pthread_cond_t wake;
        Queue waiting, finished;
        ExecutorJob **running; /* by slot */
        Thread *threads;
        unsigned slots, started;
        bool stop;
        int fd;
        ExecutorRunning on_running;
        void *userdata;
};

static void queue_push(Queue *q, ExecutorJob *job) {
        job->next = NULL;
        *q->last = job;
        q->last = &job->next;
}

static ExecutorJob *queue_pop(Queue *q) {
        ExecutorJob *job = q->first;

        if (!job)
                return NULL;
        q->first = job->next;
        if (!q->first)
                q->last = &q->first;
        job->next = NULL;
        return job;
}

static void tell_running(Executor *e) {
        _cleanup_buffer_ Buffer names = { 0 };

        if (!e->on_running)
                return;
        for (unsigned i = 0; i < e->slots; i++)
                if (e->running[i])
                        (void) buffer_printf(&names, "%s%s", names.length > 0 ? "," : "", e->running[i]->task);
        e->on_running(names.length > 0 && !buffer_failed(&names) ? names.data : "", e->userdata);
}

static void *thread_main(void *userdata) {
        Thread *t = userdata;
        Executor *e = t->executor;

        (void) pthread_mutex_lock(&e->mutex);
        for (;;) {
                ExecutorJob *job = queue_pop(&e->waiting);

                if (!job) {
                        if (e->stop)
                                break;
                        (void) pthread_cond_wait(&e->wake, &e->mutex);
                        continue;
                }
                e->running[t->slot] = job;
                tell_running(e);
                (void) pthread_mutex_unlock(&e->mutex);
                failpoint_set_task(job->task);
                job->body(job, t->slot);
                failpoint_set_task(NULL);
                (void) pthread_mutex_lock(&e->mutex);
                e->running[t->slot] = NULL;
                tell_running(e);
                queue_push(&e->finished, job);
                (void) eventfd_write(e->fd, 1);
        }
        (void) pthread_mutex_unlock(&e->mutex);
        return NULL;
}

/* Threads inherit the mask of their maker: signals are the main thread's alone. */
static int start_threads(Executor *e) {
        sigset_t all, old;
        int r = 0;

        sigfillset(&all);
        r = -pthread_sigmask(SIG_SETMASK, &all, &old);
        if (r < 0)
                return r;
        for (; e->started < e->slots && r == 0; e->started += r == 0) {
                Thread *t = &e->threads[e->started];

                *t = (Thread){ .executor = e, .slot = e->started };
                r = -pthread_create(&t->thread, NULL, thread_main, t);
        }
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

int executor_new(unsigned slots, ExecutorRunning on_running, void *userdata, Executor **ret) {
        _cleanup_(executor_freep) Executor *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        (void) pthread_mutex_init(&e->mutex, NULL);
        (void) pthread_cond_init(&e->wake, NULL);
        e->waiting.last = &e->waiting.first;
        e->finished.last = &e->finished.first;
        e->slots = slots;
        e->on_running = on_running;
        e->userdata = userdata;
        e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (e->fd < 0)
                return -errno;
        e->running = calloc(slots, sizeof(ExecutorJob *));
        e->threads = calloc(slots, sizeof(Thread));
        if (!e->running || !e->threads)
                return -ENOMEM;
        r = start_threads(e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

Executor *executor_free(Executor *e) {
        if (!e)
                return NULL;
        (void) pthread_mutex_lock(&e->mutex);
        e->stop = true;
        (void) pthread_cond_broadcast(&e->wake);
        (void) pthread_mutex_unlock(&e->mutex);
        for (unsigned i = 0; i < e->started; i++)
                (void) pthread_join(e->threads[i].thread, NULL);
        (void) pthread_cond_destroy(&e->wake);
        (void) pthread_mutex_destroy(&e->mutex);
        e->fd = close_fd(e->fd);
        free(e->running);
        free(e->threads);
        free(e);
        return NULL;
}

void executor_submit(Executor *e, ExecutorJob *job) {
        (void) pthread_mutex_lock(&e->mutex);
        queue_push(&e->waiting, job);
        (void) pthread_cond_signal(&e->wake);
        (void) pthread_mutex_unlock(&e->mutex);
}

int executor_fd(Executor *e) {
        return e->fd;
}

ExecutorJob *executor_finished(Executor *e) {
        ExecutorJob *job;
        eventfd_t unused;

        (void) pthread_mutex_lock(&e->mutex);
        job = queue_pop(&e->finished);
        /* emptied only with the queue, or a job finished meanwhile would not be noticed */
        if (!job)
                (void) eventfd_read(e->fd, &unused);
        (void) pthread_mutex_unlock(&e->mutex);
        return job;
}
