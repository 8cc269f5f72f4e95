#pragma once

/* How the worker makes the TaskContext that a task body sees (workers/task.h), and what it reads back afterwards. The
 * implementation is spread over task_context.c and task_{postgres,redis,kafka,pending,http}.c, which share
 * task_context_internal.h. */

#include "workers/task.h"

/* What all runs of one worker process share. Borrowed; outlives every context. */
typedef struct TaskServices {
        const Settings *settings;
        const char *family;
        PgPool *postgres;
        Metrics *metrics; /* may be NULL */
        /* Makes the process's producer at first use; NULL with reterr when it cannot. Any thread. */
        KafkaProducer *(*kafka)(void *userdata, Error *reterr);
        RedisStateCallback on_redis_state; /* may be NULL */
        /* Whether a COMMIT of `task` may start now (coordinator_may_commit); NULL: always. Any thread. */
        bool (*may_commit)(const char *task, void *userdata);
        /* A run reported progress: called on the executor thread. May be NULL. */
        void (*on_progress)(const char *task, uint64_t done, uint64_t total, const char *unit, void *userdata);
        void *userdata;
} TaskServices;

/* One executor's Redis connection, kept between runs (lazily opened). */
typedef struct TaskConnections {
        RedisConn *redis;
        HttpClient *http;
} TaskConnections;
void task_connections_done(TaskConnections *c);

/* See task_kept(). */
typedef struct TaskKept {
        void *data;
        void (*free_data)(void *);
} TaskKept;
void task_kept_done(TaskKept *s);

typedef struct TaskOptions {
        const char *task;
        const char *run_id;
        uint64_t now_usec;     /* realtime of the run's start */
        uint64_t max_run_usec; /* also statement_timeout; the deadline is now + this, moved on by task_progress() */
        bool dry_run;          /* prints to stdout */
        TaskKept *kept;        /* of the run, where its slices have contexts of their own; NULL: in the context */
} TaskOptions;

/* A field that the task set for its record. */
typedef struct TaskField {
        char *name;
        int64_t value;
        int64_t before; /* of earlier slices of this context */
} TaskField;

/* Sets the token's deadline. `token` and `connections` are borrowed for the context's life. */
int task_context_new(const TaskServices *services, const TaskOptions *options, TaskConnections *connections,
                     CancelToken *token, TaskContext **ret);
/* Gives connections back; an open transaction is rolled back (the outer one of a dry run always). Call on the thread
 * that ran the task. */
TaskContext *task_context_free(TaskContext *ctx);
DEFINE_CLEANUP(TaskContext, task_context_free)

/* Begins the next slice of a TASK_MORE chain: a fresh deadline, the same run. */
void task_context_next_slice(TaskContext *ctx);
/* While a run is queued again between two slices: park gives the PostgreSQL connections back to the pool (the outer
 * transaction of a dry run stays) and forgets the executor's connections; use gives it those of the executor, perhaps
 * another one, that goes on with it. */
void task_context_park(TaskContext *ctx);
void task_context_use(TaskContext *ctx, TaskConnections *connections);

const Error *task_context_error(const TaskContext *ctx);
uint64_t task_context_items_failed(const TaskContext *ctx);
const TaskField *task_context_fields(const TaskContext *ctx, size_t *ret_n);
uint64_t task_context_round_trips(const TaskContext *ctx);
/* Statements of PostgreSQL and commands of Redis. */
uint64_t task_context_commands(const TaskContext *ctx);
