#pragma once

/* What the parts of the task context share; nobody else includes it. */

#include "workers/task_context.h"

#define TASK_ITEMS_REPORTED 20

struct TaskContext {
        const TaskServices *services;
        TaskConnections *connections;
        CancelToken *token;
        char *name, *run_id;
        uint64_t now_usec, max_run_usec;
        bool dry_run;
        TaskKept own_kept, *kept;

        PgConn *postgres[2];           /* by PgServer; NULL until first used. A dry run has the primary's alone */
        uint64_t postgres_trips_at[2]; /* the connection's counter when it was borrowed */
        uint64_t redis_trips_at, redis_commands_at;
        uint64_t round_trips, commands; /* of connections that were given back */
        bool in_transaction;            /* the task's own; a savepoint in a dry run */

        Error error;
        uint64_t items_failed;
        TaskField *fields;
        size_t n_fields;
};

/* task_postgres.c */
void task_postgres_release(TaskContext *ctx);
/* task_context.c: a line of a dry run, to stdout. */
void task_preview(TaskContext *ctx, const char *format, ...) _printf_(2, 3);
