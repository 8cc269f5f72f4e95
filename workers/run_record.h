#pragma once

/* What a run leaves behind for people and machines: the `task finished` record, the original's log records and metrics
 * (runtime specification, 3.4 and 3.6), in the order in which the original sends them. */

#include "common/metrics.h"
#include "workers/task_context.h"

#define RUN_MAX_FIELDS 16

typedef enum RunResult { RUN_OK, RUN_FAILED, RUN_CANCELLED } RunResult;
const char *run_result_to_string(RunResult result);

typedef struct RunRecord {
        char run_id[UUID_TEXT_SIZE];
        uint64_t started_usec; /* realtime */
        uint64_t started_monotonic_usec;
        uint64_t duration_usec;
        RunResult result;
        unsigned slices;
        uint64_t items_failed, round_trips, commands;
        TaskField fields[RUN_MAX_FIELDS]; /* summed over the slices of a run; names are owned */
        size_t n_fields;
        Error error;
} RunRecord;
void run_record_done(RunRecord *r);

void run_record_begin(RunRecord *r, const char *run_id);
/* Adds what a slice's context gathered. On the thread that ran it. */
void run_record_add_slice(RunRecord *r, const TaskContext *ctx);

/* gauge started */
void run_metrics_started(Metrics *m, const char *task);
/* gauge completed, the original's error record, and `task finished` */
void run_record_finish(RunRecord *r, Metrics *m, const char *task);
/* timing, duration_ratio: once the locks are released, which the original's time includes */
void run_metrics_ended(const RunRecord *r, Metrics *m, const char *task, uint64_t interval_usec);
/* counter exceeded_max_concurrent_tasks */
void run_metrics_capped(Metrics *m, const char *task);
/* The extended lock is somebody else's: counter and error record. */
void run_record_not_acquired(Metrics *m, const char *task);
