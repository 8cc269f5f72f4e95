/* What a task is told and what it tells: identity, failure, bad items, progress, fields, log, metrics. */

#include <stdio.h>

#include "common/message_ids.h"
#include "workers/task_context_internal.h"

void task_connections_done(TaskConnections *c) {
        c->redis = redis_conn_free(c->redis);
        c->http = http_client_free(c->http);
}

int task_context_new(const TaskServices *services, const TaskOptions *options, TaskConnections *connections,
                     CancelToken *token, TaskContext **ret) {
        _cleanup_(task_context_freep) TaskContext *ctx = calloc(1, sizeof(*ctx));

        if (!ctx)
                return -ENOMEM;
        *ctx = (TaskContext) {
                .services = services,
                .connections = connections,
                .token = token,
                .name = strdup(options->task),
                .run_id = strdup(options->run_id),
                .now_usec = options->now_usec,
                .max_run_usec = options->max_run_usec,
                .dry_run = options->dry_run,
        };
        if (!ctx->name || !ctx->run_id)
                return -ENOMEM;
        task_context_next_slice(ctx);
        *ret = TAKE_PTR(ctx);
        return 0;
}

TaskContext *task_context_free(TaskContext *ctx) {
        if (!ctx)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(ctx->postgres); i++) {
                if (!ctx->postgres[i])
                        continue;
                if (pg_conn_transaction_status(ctx->postgres[i]) != PQTRANS_IDLE)
                        pg_rollback(ctx->postgres[i]);
                pg_pool_release(ctx->services->postgres, ctx->postgres[i]);
        }
        for (size_t i = 0; i < ctx->n_fields; i++)
                free(ctx->fields[i].name);
        error_done(&ctx->error);
        free(ctx->name);
        free(ctx->run_id);
        free(ctx);
        return NULL;
}

void task_context_next_slice(TaskContext *ctx) {
        cancel_token_set_deadline(ctx->token, clock_monotonic_usec() + ctx->max_run_usec);
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

uint64_t task_context_round_trips(const TaskContext *ctx) {
        uint64_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(ctx->postgres); i++)
                if (ctx->postgres[i])
                        n += pg_conn_round_trips(ctx->postgres[i]) - ctx->round_trips_before[i];
        if (ctx->redis_used && ctx->connections->redis)
                n += redis_conn_round_trips(ctx->connections->redis) - ctx->redis_round_trips_before;
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

int task_fail(TaskContext *ctx, Error *e) {
        int err = e->err < 0 ? e->err : -EIO; /* read before the contents move */

        error_move(&ctx->error, e);
        return err;
}

void task_log(TaskContext *ctx, LogLevel level, const char *at, const LogField *fields, size_t n_fields,
              const char *format, ...) {
        LogField all[TASK_MAX_FIELDS + 2] = {
                LOG_STRING("TASK", "taskName", ctx->name),
                LOG_STRING("RUN_ID", "runId", ctx->run_id),
        };
        size_t n = 2;
        _cleanup_free_ char *text = NULL;
        va_list ap;

        if (level > log_max_level())
                return;
        for (size_t i = 0; i < n_fields && n < ELEMENTSOF(all); i++)
                all[n++] = fields[i];
        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        log_write(level, NULL, at, all, n, text ? text : format);
}

void task_item_failed(TaskContext *ctx, const char *item, const char *format, ...) {
        LogField fields[] = {
                LOG_STRING("TASK", "taskName", ctx->name),
                LOG_STRING("RUN_ID", "runId", ctx->run_id),
                LOG_STRING("ITEM", "item", item),
        };
        _cleanup_free_ char *reason = NULL, *text = NULL;
        va_list ap;

        if (++ctx->items_failed > TASK_MAX_ITEMS_REPORTED)
                return;
        va_start(ap, format);
        reason = str_vprintf(format, ap);
        va_end(ap);
        text = str_printf("%s: %s was left out: %s", ctx->name, item, reason ? reason : format);
        log_write(LOG_LEVEL_WARNING, MESSAGE_TASK_ITEM, "worker#item", fields, ELEMENTSOF(fields), text ? text : format);
}

void task_progress(TaskContext *ctx, uint64_t done, uint64_t total, const char *unit) {
        task_context_next_slice(ctx);
        if (ctx->services->on_progress)
                ctx->services->on_progress(ctx->name, done, total, unit, ctx->services->userdata);
}

void task_field_int(TaskContext *ctx, const char *name, int64_t value) {
        char *copy;

        for (size_t i = 0; i < ctx->n_fields; i++)
                if (str_eq(ctx->fields[i].name, name)) {
                        ctx->fields[i].value = value;
                        return;
                }
        copy = ctx->n_fields < TASK_MAX_FIELDS ? strdup(name) : NULL;
        if (copy)
                ctx->fields[ctx->n_fields++] = (TaskField) { .name = copy, .value = value };
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

int task_http(TaskContext *ctx, const HttpRequest *request, bool billed, HttpResponse *ret, Error *reterr) {
        HttpClient **client = &ctx->connections->http;
        int r;

        if (ctx->dry_run && billed) {
                task_preview(ctx, "would ask %s %s (billed); the preview of what depends on its answer stops here",
                             request->method ? request->method : "GET", request->url);
                return error_set(reterr, ERROR_NEVER, -ENODATA, "%s: not sent in a dry run", request->name);
        }
        if (!*client) {
                r = http_client_new(client);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "cannot make an HTTP client: %s", strerror(-r));
        }
        return http_perform(*client, request, ctx->token, ret, reterr);
}
