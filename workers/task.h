#pragma once

/* What a task sees. A task is `int <task>_run(TaskContext *ctx)`: 0 done, TASK_MORE (committed a slice, has more), or a
 * negative errno after task_fail(). Everything goes through ctx; it is idempotent; what belongs together is in one
 * transaction. It runs on an executor thread and uses only what is declared here and pure helpers of common/.
 *
 * Every call that can wait ends early when the run is cancelled or its deadline passes. In a dry run the primary
 * connection is one outer transaction that is rolled back; writes to Redis, Kafka messages and billed HTTP requests are
 * printed instead of sent. */

#include "common/cancel.h"
#include "common/error.h"
#include "common/http.h"
#include "common/kafka.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/postgres.h"
#include "common/redis.h"
#include "common/settings.h"

typedef struct TaskContext TaskContext;

#define TASK_MORE 1

typedef int (*TaskRun)(TaskContext *ctx);

/* A family's binding of names to functions (workers/<family>/family.c), alphabetical, ended by a NULL name. */
typedef struct TaskBinding {
        const char *name;
        TaskRun run;
} TaskBinding;

const char *task_name(const TaskContext *ctx);
const char *task_family(const TaskContext *ctx);
const char *task_run_id(const TaskContext *ctx);
const char *task_service(const TaskContext *ctx); /* {S} */
const Settings *task_settings(const TaskContext *ctx);
bool task_is_dry_run(const TaskContext *ctx);
/* Realtime of the run's start, the `now` a task computes with (injected by tests). */
uint64_t task_now_usec(const TaskContext *ctx);
CancelToken *task_cancel_token(TaskContext *ctx);

/* What a run keeps between its slices (TASK_MORE), in memory alone: NULL in the first slice. free_data is called when
 * the run has ended, also a failed one, or when other data takes the place. */
void *task_kept(const TaskContext *ctx);
void task_keep(TaskContext *ctx, void *data, void (*free_data)(void *));

/* Records what went wrong for the `task finished` record and returns e->err (or -EIO when 0). Takes the contents. */
int task_fail(TaskContext *ctx, Error *e);
/* One bad item (market, account, message): reported with MESSAGE_ID TASK_ITEM at warning, at most 20 of a run in full,
 * the rest counted; the others are done. `item` names it ("market BTC-USD"). */
void task_item_failed(TaskContext *ctx, const char *item, const char *format, ...) _printf_(3, 4);
/* Moves the deadline on by max_run and shows done/total in status, the journal and `roundtable run`'s progress bar. */
void task_progress(TaskContext *ctx, uint64_t done, uint64_t total, const char *unit);
/* A field of the `task finished` record: task_field_int(ctx, "markets", 50) -> MARKETS=50, "markets":50. Summed over
 * the slices of a run. */
void task_field_int(TaskContext *ctx, const char *name, int64_t value);

/* PostgreSQL. One primary and one replica connection per run, opened at first use. */
int task_query(TaskContext *ctx, PgServer server, const SqlStatement *statement, size_t n_params,
               const char *const *params, PGresult **ret, Error *reterr);
int task_query_each(TaskContext *ctx, PgServer server, const SqlStatement *statement, size_t n_params,
                    const char *const *params, PgRowCallback callback, void *userdata, Error *reterr);
/* COPY … FROM STDIN on the primary, only within task_begin() and task_commit(): begin, any number of puts, end. Nothing
 * else may be asked of the primary in between; a COPY that is not ended costs the connection (task_rollback). */
int task_copy_begin(TaskContext *ctx, const SqlStatement *statement, Error *reterr);
int task_copy_put(TaskContext *ctx, const char *data, size_t length, Error *reterr);
int task_copy_end(TaskContext *ctx, Error *reterr);
int task_begin(TaskContext *ctx, Error *reterr); /* primary; a savepoint in a dry run */
/* Refused with ERROR_CANCELED when the run's lock has no confirmed renewal in time (design, section 5). */
int task_commit(TaskContext *ctx, Error *reterr);
void task_rollback(TaskContext *ctx);

/* Redis. Reads happen in a dry run too; writes are printed and have no replies then: *ret_done false, reply NULL. */
int task_redis_read(TaskContext *ctx, const char *name, RedisPipeline *p, Error *reterr);
/* Hands over each reply as it arrives (redis_execute_each): for pipelines of large replies. */
int task_redis_read_each(TaskContext *ctx, const char *name, RedisPipeline *p, RedisReplyCallback callback,
                         void *userdata, Error *reterr);
int task_redis_write(TaskContext *ctx, const char *name, RedisPipeline *p, bool *ret_done, Error *reterr);

/* Kafka: 0 when everything is acknowledged (or printed, in a dry run: ret_delivered all true). */
int task_publish(TaskContext *ctx, const KafkaMessage *messages, size_t n, bool *ret_delivered, Error *reterr);

/* Names of what must be published survive a crash (design, section 7: Kafka): {S}.control.<task>.pending, a hash of
 * name -> generation (run_id). Add before COMMIT; if it fails, roll the transaction back. */
typedef struct TaskPending TaskPending;
/* Names of earlier runs that were never acknowledged; n may be 0. Freed with task_pending_free. */
int task_pending_load(TaskContext *ctx, TaskPending **ret, Error *reterr);
TaskPending *task_pending_free(TaskPending *p);
DEFINE_CLEANUP(TaskPending, task_pending_free)
size_t task_pending_count(const TaskPending *p);
const char *task_pending_name(const TaskPending *p, size_t i);
bool task_pending_has(const TaskPending *p, const char *name);
/* Adds names (marking them with this run's id). */
int task_pending_add(TaskContext *ctx, TaskPending *p, const char *const *names, size_t n, Error *reterr);
/* After the acknowledgement: removes exactly these names, unless a newer run added them again. */
int task_pending_remove(TaskContext *ctx, TaskPending *p, const char *const *names, size_t n, Error *reterr);

/* Metrics, names without "{S}." (or "{S}", if they begin with an underscore). Not sent in a dry run. */
void task_count(TaskContext *ctx, const char *name, int64_t value, const MetricTag *tags, size_t n_tags);
void task_gauge(TaskContext *ctx, const char *name, double value, const MetricTag *tags, size_t n_tags);
void task_timing(TaskContext *ctx, const char *name, int64_t msec, const MetricTag *tags, size_t n_tags);

/* A record with the run's fields (TASK, FAMILY, RUN_ID). `at` is the original's tag. */
void task_log(TaskContext *ctx, LogLevel level, const char *at, const LogField *fields, size_t n_fields,
              const char *format, ...) _printf_(6, 7);

/* HTTP (lazily made client). `billed` requests are printed instead of sent in a dry run: -ENODATA. */
int task_http(TaskContext *ctx, const HttpRequest *request, bool billed, HttpResponse *ret, Error *reterr);
/* n requests side by side, as http_perform_all(): 0, or negative with reterr when nothing was asked or all was given
 * up. Outcomes are the caller's in any case. */
int task_http_all(TaskContext *ctx, size_t n, const HttpRequest *requests, bool billed, HttpOutcome *outcomes,
                  Error *reterr);
