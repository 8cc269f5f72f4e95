/* Executor threads: as many bodies at once as slots, names before and after, no signal. */

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "workers/executor.h"

typedef struct Shared {
        pthread_mutex_t mutex;
        pthread_cond_t wake;
        unsigned running, most, wanted;
        char names[64];
        bool blocked;
} Shared;

static Shared shared = { .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void on_running(const char *names, void *userdata) {
        Shared *s = userdata;

        (void) pthread_mutex_lock(&s->mutex);
        (void) snprintf(s->names, sizeof s->names, "%s", names);
        (void) pthread_mutex_unlock(&s->mutex);
}

/* Goes on when `wanted` bodies run at once. */
static void body(ExecutorJob *job, unsigned slot) {
        sigset_t mask;

        (void) job;
        (void) slot;
        (void) pthread_sigmask(SIG_BLOCK, NULL, &mask);
        (void) pthread_mutex_lock(&shared.mutex);
        shared.blocked = sigismember(&mask, SIGTERM) == 1;
        shared.running++;
        if (shared.running > shared.most)
                shared.most = shared.running;
        (void) pthread_cond_broadcast(&shared.wake);
        while (shared.most < shared.wanted)
                (void) pthread_cond_wait(&shared.wake, &shared.mutex);
        shared.running--;
        (void) pthread_mutex_unlock(&shared.mutex);
}

static ExecutorJob *finished(Executor *e) {
        ExecutorJob *job;

        while (!(job = executor_finished(e))) {
                struct pollfd p = { .fd = executor_fd(e), .events = POLLIN };

                cr_assert_gt(poll(&p, 1, 30000), 0, "a job finishes");
        }
        return job;
}

Test(executor, runs_as_many_as_slots_at_once_and_no_more) {
        ExecutorJob jobs[6];
        Executor *e = NULL;

        shared.wanted = 2;
        cr_assert_eq(executor_new(2, on_running, &shared, &e), 0);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++) {
                jobs[i] = (ExecutorJob){ .task = "x", .body = body };
                executor_submit(e, &jobs[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                (void) finished(e);
        cr_assert_null(executor_finished(e));
        cr_assert_eq(shared.most, 2);
        cr_assert(shared.blocked, "signals are the main thread's");
        (void) executor_free(e);
        cr_assert_str_eq(shared.names, "");
}

static char seen[64];

static void look(ExecutorJob *job, unsigned slot) {
        (void) job;
        (void) slot;
        (void) pthread_mutex_lock(&shared.mutex);
        (void) snprintf(seen, sizeof seen, "%s", shared.names);
        (void) pthread_mutex_unlock(&shared.mutex);
}

Test(executor, tells_what_runs_before_the_body_starts) {
        ExecutorJob job = { .task = "market_updater", .body = look };
        Executor *e = NULL;

        cr_assert_eq(executor_new(1, on_running, &shared, &e), 0);
        executor_submit(e, &job);
        cr_assert_eq(finished(e), &job);
        cr_assert_str_eq(seen, "market_updater");
        (void) executor_free(e);
}

Test(executor, ends_without_a_job) {
        Executor *e = NULL;

        cr_assert_eq(executor_new(3, NULL, NULL, &e), 0);
        (void) executor_free(e);
}
