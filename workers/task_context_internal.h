#pragma once

/* The inside of a TaskContext, for task_*.c alone. The body's thread owns all of it; what others want to know goes through
 * the callbacks of TaskServices. */

#include "common/clock.h"
#include "workers/task_context.h"

#define TASK_MAX_FIELDS 16
#define TASK_MAX_ITEMS_REPORTED 20

struct TaskContext {
        const TaskServices *services;
        TaskConnections *connections;
        CancelToken *token;
        char *name, *run_id;
        uint64_t now_usec, max_run_usec;
        bool dry_run;
        bool savepoint; /* dry run: task_begin() made one */
        uint64_t items_failed;
        TaskField fields[TASK_MAX_FIELDS];
        size_t n_fields;
        Error error;
        PgConn *postgres[2];
        uint64_t round_trips_before[2]; /* of those connections, when this run got them */
        uint64_t redis_round_trips_before;
        bool redis_used;
};

/* The connection of this run, opened at first use; borrowed. */
int task_connection(TaskContext *ctx, PgServer server, PgConn **ret, Error *reterr);
/* For people: what a dry run does not do. */
void task_preview(TaskContext *ctx, const char *format, ...) _printf_(2, 3);
