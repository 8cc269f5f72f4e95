#pragma once

/* Tasks of the testing family. The tables they use are those of tests/testing_family.py. */

#include "workers/task.h"

int testing_abort_run(TaskContext *ctx);
int testing_hang_run(TaskContext *ctx);
int testing_http_run(TaskContext *ctx);
int testing_kafka_run(TaskContext *ctx);
int testing_more_run(TaskContext *ctx);
int testing_publish_first_run(TaskContext *ctx);
int testing_query_run(TaskContext *ctx);
int testing_rows_run(TaskContext *ctx);
int testing_segfault_run(TaskContext *ctx);

/* Writes a row of testing_runs in a transaction of its own. */
int testing_row(TaskContext *ctx, const char *event, Error *reterr);
/* Whether a row of testing_control with this task's name and `mode` exists. */
int testing_mode(TaskContext *ctx, const char *mode, bool *ret, Error *reterr);
