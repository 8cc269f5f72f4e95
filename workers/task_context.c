/* What a task is told and what it tells: identity, failure, bad items, progress, fields, log, metrics. */

#include <stdio.h>

#include "common/clock.h"
#include "common/message_ids.h"
#include "workers/task_context_internal.h"

/* Fields of one record: the task's own and those of the run. */
#define MAX_LOG_FIELDS 32

void task_connections_done(TaskConnections *c) {
        c->redis = redis_conn_free(c->redis);
        c->http = http_client_free(c->http);
}

void task_kept_done(TaskKept *s) {
        if (s->data && s->free_data)
                s->free_data(s->data);
        *s = (TaskKept){ 0 };
}

static void start_deadline(TaskContext *ctx) {
        uint64_t now = clock_monotonic_usec();

        cancel_token_set_deadline(ctx->token,
                                  ctx->max_run_usec < USEC_INFINITY - now ? now + ctx->max_run_usec : USEC_INFINITY);
}

int task_context_new(const TaskServices *services, const TaskOptions *options, TaskConnections *connections,
                     CancelToken *token, TaskContext **ret) {
        _cleanup_(task_context_freep) TaskContext *ctx = calloc(1, sizeof(*ctx));

        if (!ctx)
                return -ENOMEM;
        ctx->services = services;
        ctx->token = token;
        ctx->now_usec = options->now_usec;
        ctx->max_run_usec = options->max_run_usec;
        ctx->dry_run = options->dry_run;
        ctx->kept = options->kept ? options->kept : &ctx->own_kept;
        ctx->name = strdup(options->task);
        ctx->run_id = strdup(options->run_id);
        if (!ctx->name || !ctx->run_id)
                return -ENOMEM;
        task_context_use(ctx, connections);
        start_deadline(ctx);
        *ret = TAKE_PTR(ctx);
        return 0;
}

void task_context_park(TaskContext *ctx) {
        /* the outer transaction of a dry run is the run: it stays */
        if (!ctx->dry_run)
                task_postgres_release(ctx);
        if (ctx->connections && ctx->connections->redis) {
                ctx->round_trips += redis_conn_round_trips(ctx->connections->redis) - ctx->redis_trips_at;
                ctx->commands += redis_conn_commands(ctx->connections->redis) - ctx->redis_commands_at;
        }
        ctx->connections = NULL;
        ctx->redis_trips_at = ctx->redis_commands_at = 0;
}

void task_context_use(TaskContext *ctx, TaskConnections *connections) {
        ctx->connections = connections;
        ctx->redis_trips_at = connections->redis ? redis_conn_round_trips(connections->redis) : 0;
        ctx->redis_commands_at = connections->redis ? redis_conn_commands(connections->redis) : 0;
}

TaskContext *task_context_free(TaskContext *ctx) {
        if (!ctx)
                return NULL;
        task_postgres_release(ctx);
        task_kept_done(&ctx->own_kept);
        for (size_t i = 0; i < ctx->n_fields; i++)
                free(ctx->fields[i].name);
        free(ctx->fields);
        error_done(&ctx->error);
        free(ctx->name);
        free(ctx->run_id);
        free(ctx);
        return NULL;
}

void task_context_next_slice(TaskContext *ctx) {
        for (size_t i = 0; i < ctx->n_fields; i++)
                ctx->fields[i].before = ctx->fields[i].value;
        start_deadline(ctx);
}

const Error *task_context_error(const TaskContext *ctx) {
        return &ctx->error;
}

uint64_t task_context_items_failed(const TaskContext *ctx) {
        return ctx->items_failed;
}

const TaskField *task_context_fields(const TaskContext *ctx, size_t *ret_n) {
        *ret_n = ctx->n_fields;
        return ctx->fields;
}

/* What the borrowed connections to PostgreSQL did so far; each statement is a round trip. */
static uint64_t postgres_trips(const TaskContext *ctx) {
        uint64_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(ctx->postgres); i++)
                if (ctx->postgres[i])
                        n += pg_conn_round_trips(ctx->postgres[i]) - ctx->postgres_trips_at[i];
        return n;
}

uint64_t task_context_commands(const TaskContext *ctx) {
        uint64_t n = ctx->commands + postgres_trips(ctx);

        if (ctx->connections && ctx->connections->redis)
                n += redis_conn_commands(ctx->connections->redis) - ctx->redis_commands_at;
        return n;
}

uint64_t task_context_round_trips(const TaskContext *ctx) {
        uint64_t n = ctx->round_trips + postgres_trips(ctx);

        if (ctx->connections && ctx->connections->redis)
                n += redis_conn_round_trips(ctx->connections->redis) - ctx->redis_trips_at;
        return n;
}

const char *task_name(const TaskContext *ctx) {
        return ctx->name;
}

const char *task_family(const TaskContext *ctx) {
        return ctx->services->family;
}

const char *task_run_id(const TaskContext *ctx) {
        return ctx->run_id;
}

const char *task_service(const TaskContext *ctx) {
        return settings_string(ctx->services->settings, "service_name");
}

const Settings *task_settings(const TaskContext *ctx) {
        return ctx->services->settings;
}

bool task_is_dry_run(const TaskContext *ctx) {
        return ctx->dry_run;
}

uint64_t task_now_usec(const TaskContext *ctx) {
        return ctx->now_usec;
}

CancelToken *task_cancel_token(TaskContext *ctx) {
        return ctx->token;
}

void *task_kept(const TaskContext *ctx) {
        return ctx->kept->data;
}

void task_keep(TaskContext *ctx, void *data, void (*free_data)(void *)) {
        if (data != ctx->kept->data)
                task_kept_done(ctx->kept);
        *ctx->kept = (TaskKept){ .data = data, .free_data = free_data };
}

int task_fail(TaskContext *ctx, Error *e) {
        int err = e->err < 0 ? e->err : -EIO;

        error_move(&ctx->error, e);
        ctx->error.err = err;
        return err;
}

/* Writes a record with the run's fields in front of the given ones. FAMILY is in every record of the process
 * (log_set_identity). */
static void log_run(TaskContext *ctx, LogLevel level, const char *message_id, const char *at, const LogField *fields,
                    size_t n_fields, const char *text) {
        LogField all[MAX_LOG_FIELDS] = {
                LOG_STRING("TASK", "taskName", ctx->name),
                LOG_STRING("RUN_ID", "runId", ctx->run_id),
        };
        size_t n = 2;

        for (size_t i = 0; i < n_fields && n < ELEMENTSOF(all); i++)
                all[n++] = fields[i];
        log_write(level, message_id, at, all, n, text);
}

void task_log(TaskContext *ctx, LogLevel level, const char *at, const LogField *fields, size_t n_fields,
              const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        if (level > log_max_level())
                return;
        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        log_run(ctx, level, NULL, at, fields, n_fields, text ? text : format);
}

void task_item_failed(TaskContext *ctx, const char *item, const char *format, ...) {
        LogField field = LOG_STRING("ITEM", "item", item);
        _cleanup_free_ char *reason = NULL, *text = NULL;
        va_list ap;

        /* a run over thousands of bad items must not fill the journal; the count is in its `task finished` record */
        if (++ctx->items_failed > TASK_ITEMS_REPORTED)
                return;
        va_start(ap, format);
        reason = str_vprintf(format, ap);
        va_end(ap);
        text = str_printf("%s: %s was left out: %s", ctx->name, item, reason ? reason : format);
        log_run(ctx, LOG_LEVEL_WARNING, MESSAGE_TASK_ITEM, "task_context#taskItemFailed", &field, 1,
                text ? text : format);
}

void task_progress(TaskContext *ctx, uint64_t done, uint64_t total, const char *unit) {
        const TaskServices *s = ctx->services;

        start_deadline(ctx);
        if (s->on_progress)
                s->on_progress(ctx->name, done, total, unit, s->userdata);
}

void task_field_int(TaskContext *ctx, const char *name, int64_t value) {
        _cleanup_free_ char *copy = NULL;
        TaskField *grown;

        for (size_t i = 0; i < ctx->n_fields; i++)
                if (str_eq(ctx->fields[i].name, name)) {
                        ctx->fields[i].value = ctx->fields[i].before + value;
                        return;
                }
        copy = strdup(name);
        grown = copy ? reallocarray(ctx->fields, ctx->n_fields + 1, sizeof(*grown)) : NULL;
        if (!grown) {
                /* one number less in a record is no reason to fail a run */
                log_debug("task_context#fieldInt", "out of memory for field %s of task %s", name, ctx->name);
                return;
        }
        ctx->fields = grown;
        ctx->fields[ctx->n_fields++] = (TaskField){ .name = TAKE_PTR(copy), .value = value };
}

static Metrics *metrics_of(TaskContext *ctx) {
        return ctx->dry_run ? NULL : ctx->services->metrics;
}

void task_count(TaskContext *ctx, const char *name, int64_t value, const MetricTag *tags, size_t n_tags) {
        metrics_count(metrics_of(ctx), name, value, tags, n_tags);
}

void task_gauge(TaskContext *ctx, const char *name, double value, const MetricTag *tags, size_t n_tags) {
        metrics_gauge(metrics_of(ctx), name, value, tags, n_tags);
}

void task_timing(TaskContext *ctx, const char *name, int64_t msec, const MetricTag *tags, size_t n_tags) {
        metrics_timing(metrics_of(ctx), name, msec, tags, n_tags);
}

void task_preview(TaskContext *ctx, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        (void) fprintf(stdout, "dry run: %s: %s\n", ctx->name, text ? text : format);
        (void) fflush(stdout);
}
