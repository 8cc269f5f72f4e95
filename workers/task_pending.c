/* Names of what must still be published, in a hash {S}.control.<task>.pending of name -> generation (run id). What must
 * stay true: a name is removed only while it carries the generation this run knows, so that the name of a newer run,
 * whose value nobody has sent yet, is never lost. */

#include "workers/task_context_internal.h"

typedef struct PendingName {
        char *name, *generation;
        bool removed; /* only within task_pending_remove */
} PendingName;

struct TaskPending {
        char *key;
        PendingName *names; /* sorted by name */
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

static int no_memory(Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for pending names");
}

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

/* Where `name` is or belongs. */
static size_t position(const TaskPending *p, const char *name, bool *ret_found) {
        size_t low = 0, high = p->n;

        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int c = strcmp(p->names[middle].name, name);

                if (c == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (c < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static PendingName *find(const TaskPending *p, const char *name) {
        bool found;
        size_t at = position(p, name, &found);

        return found ? &p->names[at] : NULL;
}

static int reserve(TaskPending *p) {
        size_t wanted = p->allocated > 0 ? 2 * p->allocated : 32;
        PendingName *grown;

        if (p->n < p->allocated)
                return 0;
        grown = reallocarray(p->names, wanted, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        p->names = grown;
        p->allocated = wanted;
        return 0;
}

/* Adds a name or gives a known one another generation. */
static int put(TaskPending *p, const char *name, const char *generation) {
        _cleanup_free_ char *n = NULL, *g = strdup(generation);
        bool found;
        size_t at = position(p, name, &found);

        if (!g)
                return -ENOMEM;
        if (found) {
                free(p->names[at].generation); /* NOLINT(clang-analyzer-core.NullDereference): it was found there */
                p->names[at].generation = TAKE_PTR(g);
                return 0;
        }
        n = strdup(name);
        if (!n || reserve(p) < 0)
                return -ENOMEM;
        memmove(p->names + at + 1, p->names + at, (p->n - at) * sizeof(*p->names));
        p->names[at] = (PendingName){ .name = TAKE_PTR(n), .generation = TAKE_PTR(g) };
        p->n++;
        return 0;
}

static int take_reply(TaskPending *p, const redisReply *reply, Error *reterr) {
        int r;

        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, p->key, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i + 1 < reply->elements; i += 2) {
                const redisReply *name = reply->element[i], *generation = reply->element[i + 1];

                if (redis_reply_check(name, REDIS_REPLY_STRING, p->key, reterr) < 0 ||
                    redis_reply_check(generation, REDIS_REPLY_STRING, p->key, reterr) < 0)
                        return -EBADMSG;
                if (put(p, name->str, generation->str) < 0)
                        return no_memory(reterr);
        }
        return 0;
}

int task_pending_load(TaskContext *ctx, TaskPending **ret, Error *reterr) {
        _cleanup_(task_pending_freep) TaskPending *p = calloc(1, sizeof(*p));
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        int r;

        if (p)
                p->key = str_printf("%s.control.%s.pending", task_service(ctx), ctx->name);
        if (!p || !p->key || redis_pipeline_new(&pipeline) < 0 ||
            redis_pipeline_addv(pipeline, "HGETALL", p->key, NULL) < 0)
                return no_memory(reterr);
        r = task_redis_read(ctx, "pending_load", pipeline, reterr);
        if (r < 0)
                return r;
        r = take_reply(p, redis_pipeline_reply(pipeline, 0), reterr);
        if (r < 0)
                return r;
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

/* Executes the one command of `pipeline`, which answers with a number. */
static int write_names(TaskContext *ctx, const TaskPending *p, const char *name, RedisPipeline *pipeline,
                       Error *reterr) {
        bool done;
        int r;

        r = task_redis_write(ctx, name, pipeline, &done, reterr);
        if (r < 0 || !done)
                return r;
        return redis_reply_check(redis_pipeline_reply(pipeline, 0), REDIS_REPLY_INTEGER, p->key, reterr);
}

int task_pending_add(TaskContext *ctx, TaskPending *p, const char *const *names, size_t n, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        _cleanup_free_ const char **argv = NULL;
        int r;

        if (n == 0)
                return 0;
        argv = calloc(2 + 2 * n, sizeof(char *));
        if (!argv || redis_pipeline_new(&pipeline) < 0)
                return no_memory(reterr);
        argv[0] = "HSET";
        argv[1] = p->key;
        for (size_t i = 0; i < n; i++) {
                argv[2 + 2 * i] = names[i];
                argv[3 + 2 * i] = ctx->run_id;
        }
        if (redis_pipeline_add(pipeline, 2 + 2 * n, argv, NULL) < 0)
                return no_memory(reterr);
        r = write_names(ctx, p, "pending_add", pipeline, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (put(p, names[i], ctx->run_id) < 0)
                        return no_memory(reterr);
        return 0;
}

/* Forgets the names that are marked. Only now, because the caller's names may be ours (task_pending_name). */
static void sweep(TaskPending *p) {
        size_t kept = 0;

        for (size_t i = 0; i < p->n; i++) {
                if (p->names[i].removed) {
                        free(p->names[i].name);
                        free(p->names[i].generation);
                } else
                        p->names[kept++] = p->names[i];
        }
        p->n = kept;
}

int task_pending_remove(TaskContext *ctx, TaskPending *p, const char *const *names, size_t n, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *pipeline = NULL;
        _cleanup_free_ const char **args = NULL;
        size_t n_args = 0;
        int r;

        if (n == 0)
                return 0;
        args = calloc(2 * n, sizeof(char *));
        if (!args || redis_pipeline_new(&pipeline) < 0)
                return no_memory(reterr);
        for (size_t i = 0; i < n; i++) {
                const PendingName *known = find(p, names[i]);

                /* a name this run knows no generation of is not its to remove */
                if (!known)
                        continue;
                args[n_args++] = known->name;
                args[n_args++] = known->generation;
        }
        if (n_args == 0)
                return 0;
        if (redis_pipeline_add_script(pipeline, &remove_script, 1, (const char *const[]){ p->key }, n_args, args) < 0)
                return no_memory(reterr);
        r = write_names(ctx, p, "pending_remove", pipeline, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                PendingName *known = find(p, names[i]);

                if (known)
                        known->removed = true;
        }
        sweep(p);
        return 0;
}
