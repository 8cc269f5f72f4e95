/* Redis for tasks: one connection per executor, kept between runs. A dry run prints what would be written. */

#include "workers/task_context_internal.h"

static int get_connection(TaskContext *ctx, RedisConn **ret, Error *reterr) {
        const TaskServices *s = ctx->services;
        TaskConnections *c = ctx->connections;
        _cleanup_free_ char *name = NULL;
        int r;

        if (!c->redis) {
                name = str_printf("roundtable/%s", s->family);
                if (!name)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a Redis connection");
                r = redis_conn_new(settings_string(s->settings, "redis.url"), name, 0, s->on_redis_state, s->userdata,
                                   &c->redis, reterr);
                if (r < 0)
                        return r;
        }
        *ret = c->redis;
        return 0;
}

int task_redis_read(TaskContext *ctx, const char *name, RedisPipeline *p, Error *reterr) {
        RedisConn *c = NULL;
        int r;

        r = get_connection(ctx, &c, reterr);
        if (r < 0)
                return r;
        return redis_execute(c, name, p, ctx->token, reterr);
}

int task_redis_read_each(TaskContext *ctx, const char *name, RedisPipeline *p, RedisReplyCallback callback,
                         void *userdata, Error *reterr) {
        RedisConn *c = NULL;
        int r;

        r = get_connection(ctx, &c, reterr);
        if (r < 0)
                return r;
        return redis_execute_each(c, name, p, callback, userdata, ctx->token, reterr);
}

int task_redis_write(TaskContext *ctx, const char *name, RedisPipeline *p, bool *ret_done, Error *reterr) {
        int r;

        if (ret_done)
                *ret_done = false;
        if (ctx->dry_run) {
                for (size_t i = 0; i < redis_pipeline_count(p); i++) {
                        _cleanup_free_ char *text = redis_pipeline_describe(p, i);

                        task_preview(ctx, "would send to Redis: %s", text ? text : name);
                }
                return 0;
        }
        r = task_redis_read(ctx, name, p, reterr);
        if (r >= 0 && ret_done)
                *ret_done = true;
        return r;
}
