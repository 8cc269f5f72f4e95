/* Names of what must still be published, in a hash {S}.control.<task>.pending of name -> run_id. What must stay true: a
 * name is removed only while it carries the generation that was published, so that a newer run's name is never lost. */

#include "workers/task_context_internal.h"

typedef struct Name {
        char *name, *generation;
} Name;

struct TaskPending {
        char *key;
        Name *names;
        size_t n, allocated;
};

static const RedisScript remove_script = {
        .name = "pending_remove",
        .text = "local n = 0\n"
                "for i = 1, #ARGV, 2 do\n"
                "  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then\n"
                "    n = n + redis.call('HDEL', KEYS[1], ARGV[i])\n"
                "  end\n"
                "end\n"
                "return n\n",
};

TaskPending *task_pending_free(TaskPending *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n; i++) {
                free(p->names[i].name);
                free(p->names[i].generation);
        }
        free(p->names);
        free(p->key);
        free(p);
        return NULL;
}

static Name *find(const TaskPending *p, const char *name) {
        for (size_t i = 0; i < p->n; i++)
                if (str_eq(p->names[i].name, name))
                        return &p->names[i];
        return NULL;
}

/* Adds or gives another generation. */
static int put(TaskPending *p, const char *name, size_t length, const char *generation, size_t generation_length) {
        _cleanup_free_ char *n = strndup(name, length), *g = strndup(generation, generation_length);
        Name *known;

        if (!n || !g)
                return -ENOMEM;
        known = find(p, n);
        if (known) {
                free(known->generation);
                known->generation = TAKE_PTR(g);
                return 0;
        }
        if (p->n == p->allocated) {
                size_t wanted = p->allocated > 0 ? 2 * p->allocated : 32;
                Name *grown = reallocarray(p->names, wanted, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                p->names = grown;
                p->allocated = wanted;
        }
        p->names[p->n++] = (Name) { .name = TAKE_PTR(n), .generation = TAKE_PTR(g) };
        return 0;
}

int task_pending_load(TaskContext *ctx, TaskPending **ret, Error *reterr) {
        _cleanup_(task_pending_freep) TaskPending *p = calloc(1, sizeof(*p));
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        const redisReply *reply;
        int r;

        if (p)
                p->key = str_printf("%s.control.%s.pending", task_service(ctx), ctx->name);
        if (!p || !p->key || redis_pipeline_new(&pipeline) < 0 || redis_pipeline_addv(pipeline, "HGETALL", p->key, NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for pending names");
        r = task_redis_read(ctx, "pending_load", pipeline, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(pipeline, 0);
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, p->key, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i + 1 < reply->elements; i += 2) {
                const redisReply *name = reply->element[i], *generation = reply->element[i + 1];

                r = put(p, name->str, (size_t) name->len, generation->str, (size_t) generation->len);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "out of memory for pending names");
        }
        *ret = TAKE_PTR(p);
        return 0;
}

size_t task_pending_count(const TaskPending *p) {
        return p->n;
}

const char *task_pending_name(const TaskPending *p, size_t i) {
        return p->names[i].name;
}

bool task_pending_has(const TaskPending *p, const char *name) {
        return find(p, name);
}

int task_pending_add(TaskContext *ctx, TaskPending *p, const char *const *names, size_t n, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        _cleanup_free_ const char **argv = NULL;
        bool done;
        int r;

        if (n == 0)
                return 0;
        argv = calloc(2 + 2 * n, sizeof(char *));
        if (!argv || redis_pipeline_new(&pipeline) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for pending names");
        argv[0] = "HSET";
        argv[1] = p->key;
        for (size_t i = 0; i < n; i++) {
                argv[2 + 2 * i] = names[i];
                argv[3 + 2 * i] = ctx->run_id;
        }
        r = redis_pipeline_add(pipeline, 2 + 2 * n, argv, NULL);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for pending names");
        r = task_redis_write(ctx, "pending_add", pipeline, &done, reterr);
        if (r < 0)
                return r;
        if (done) {
                r = redis_reply_check(redis_pipeline_reply(pipeline, 0), REDIS_REPLY_INTEGER, p->key, reterr);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < n; i++)
                if (put(p, names[i], strlen(names[i]), ctx->run_id, strlen(ctx->run_id)) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for pending names");
        return 0;
}

static void forget(TaskPending *p, const char *name) {
        Name *known = find(p, name);

        if (!known)
                return;
        free(known->name);
        free(known->generation);
        *known = p->names[--p->n];
}

int task_pending_remove(TaskContext *ctx, TaskPending *p, const char *const *names, size_t n, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        _cleanup_free_ const char **args = NULL;
        size_t n_args = 0;
        bool done;
        int r;

        if (n == 0)
                return 0;
        args = calloc(2 * n, sizeof(char *));
        if (!args || redis_pipeline_new(&pipeline) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for pending names");
        for (size_t i = 0; i < n; i++) {
                const Name *known = find(p, names[i]);

                if (!known)
                        continue;
                args[n_args++] = known->name;
                args[n_args++] = known->generation;
        }
        if (n_args == 0)
                return 0;
        r = redis_pipeline_add_script(pipeline, &remove_script, 1, (const char *const[]) { p->key }, n_args, args);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for pending names");
        r = task_redis_write(ctx, "pending_remove", pipeline, &done, reterr);
        if (r >= 0 && done)
                r = redis_reply_check(redis_pipeline_reply(pipeline, 0), REDIS_REPLY_INTEGER, p->key, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                forget(p, names[i]);
        return 0;
}
