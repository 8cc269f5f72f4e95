#pragma once

/* The threads in which task bodies run: exactly as many as there are slots, so that a submitted job starts at once.
 * They block all signals and touch no event source; finished jobs come back through a descriptor.
 *
 * Submitting, fetching and freeing belong to the main thread. */

#include "common/util.h"

typedef struct Executor Executor;
typedef struct ExecutorJob ExecutorJob;

struct ExecutorJob {
        const char *task;                              /* borrowed while the job is submitted */
        void (*body)(ExecutorJob *job, unsigned slot); /* on a thread of the executor */
        ExecutorJob *next;                             /* the executor's */
};

/* The names of the tasks whose bodies run now, comma-separated; called before a body starts and after it returned, from
 * the threads, one call at a time. */
typedef void (*ExecutorRunning)(const char *names, void *userdata);

int executor_new(unsigned slots, ExecutorRunning on_running, void *userdata, Executor **ret);
/* Waits for the bodies that run: cancel them before. */
Executor *executor_free(Executor *e);
DEFINE_CLEANUP(Executor, executor_free)

void executor_submit(Executor *e, ExecutorJob *job);
int executor_fd(Executor *e); /* poll for POLLIN */
/* The next finished job, or NULL. */
ExecutorJob *executor_finished(Executor *e);
