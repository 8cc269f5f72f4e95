/* Commands waiting for one round trip, and their replies. */

#include <stdio.h>

#include "common/redis_internal.h"

int redis_pipeline_new(RedisPipeline **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

static void command_done(RedisCommand *c) {
        for (size_t i = 0; i < c->argc; i++)
                free(c->argv[i]);
        free(c->argv);
        free(c->lengths);
        if (c->reply)
                freeReplyObject(c->reply);
        *c = (RedisCommand){ 0 };
}

void redis_pipeline_clear(RedisPipeline *p) {
        for (size_t i = 0; i < p->n; i++)
                command_done(&p->commands[i]);
        p->n = 0;
}

RedisPipeline *redis_pipeline_free(RedisPipeline *p) {
        if (!p)
                return NULL;
        redis_pipeline_clear(p);
        free(p->commands);
        free(p);
        return NULL;
}

static int command_reserve(RedisCommand *c, size_t argc) {
        c->argv = calloc(argc, sizeof(char *));
        c->lengths = calloc(argc, sizeof(size_t));
        if (!c->argv || !c->lengths) {
                command_done(c);
                return -ENOMEM;
        }
        return 0;
}

static int command_push(RedisCommand *c, const char *arg, size_t length) {
        char *copy = malloc(length + 1);

        if (!copy)
                return -ENOMEM;
        if (length > 0)
                (void) memcpy(copy, arg, length);
        copy[length] = '\0';
        c->argv[c->argc] = copy;
        c->lengths[c->argc++] = length;
        return 0;
}

/* Takes the command's contents, also on failure. */
static int pipeline_push(RedisPipeline *p, RedisCommand *c) {
        if (p->n == p->allocated) {
                size_t allocated = p->allocated ? 2 * p->allocated : 16;
                RedisCommand *commands = reallocarray(p->commands, allocated, sizeof(*commands));

                if (!commands) {
                        command_done(c);
                        return -ENOMEM;
                }
                p->commands = commands;
                p->allocated = allocated;
        }
        p->commands[p->n++] = *c;
        return 0;
}

int redis_pipeline_add(RedisPipeline *p, size_t argc, const char *const *argv, const size_t *lengths) {
        RedisCommand c = { 0 };
        int r;

        r = command_reserve(&c, argc);
        if (r < 0)
                return r;
        for (size_t i = 0; i < argc; i++) {
                r = command_push(&c, argv[i], lengths ? lengths[i] : strlen(argv[i]));
                if (r < 0) {
                        command_done(&c);
                        return r;
                }
        }
        return pipeline_push(p, &c);
}

int redis_pipeline_addv(RedisPipeline *p, ...) {
        const char *argv[32];
        size_t argc = 0;
        va_list ap;

        va_start(ap, p);
        while (argc < ELEMENTSOF(argv) && (argv[argc] = va_arg(ap, const char *)))
                argc++;
        va_end(ap);
        if (argc == 0 || argc == ELEMENTSOF(argv))
                return -EINVAL;
        return redis_pipeline_add(p, argc, argv, NULL);
}

int redis_pipeline_add_script(RedisPipeline *p, const RedisScript *script, size_t n_keys, const char *const *keys,
                              size_t n_args, const char *const *args) {
        return redis_pipeline_add_script_data(p, script, n_keys, keys, NULL, n_args, args, NULL);
}

int redis_pipeline_add_script_data(RedisPipeline *p, const RedisScript *script, size_t n_keys, const char *const *keys,
                                   const size_t *key_lengths, size_t n_args, const char *const *args,
                                   const size_t *arg_lengths) {
        RedisCommand c = { .script = script };
        char count[24];
        int r;

        r = command_reserve(&c, 3 + n_keys + n_args);
        if (r < 0)
                return r;
        (void) snprintf(count, sizeof(count), "%zu", n_keys);
        r = command_push(&c, "EVALSHA", 7);
        if (r >= 0)
                r = command_push(&c, script->name, strlen(script->name)); /* replaced when it is sent */
        if (r >= 0)
                r = command_push(&c, count, strlen(count));
        for (size_t i = 0; r >= 0 && i < n_keys; i++)
                r = command_push(&c, keys[i], key_lengths ? key_lengths[i] : strlen(keys[i]));
        for (size_t i = 0; r >= 0 && i < n_args; i++)
                r = command_push(&c, args[i], arg_lengths ? arg_lengths[i] : strlen(args[i]));
        if (r < 0) {
                command_done(&c);
                return r;
        }
        return pipeline_push(p, &c);
}

size_t redis_pipeline_count(const RedisPipeline *p) {
        return p->n;
}

char *redis_pipeline_describe(const RedisPipeline *p, size_t i) {
        _cleanup_buffer_ Buffer b = { 0 };
        const RedisCommand *c = &p->commands[i];

        for (size_t k = 0; k < c->argc; k++) {
                if (k > 0)
                        (void) buffer_append(&b, " ", 1);
                for (size_t n = 0; n < c->lengths[k]; n++) {
                        unsigned char byte = (unsigned char) c->argv[k][n];

                        if (byte < 0x20 || byte >= 0x7f)
                                (void) buffer_printf(&b, "\\x%02x", byte);
                        else
                                (void) buffer_append(&b, &byte, 1);
                }
        }
        return buffer_take(&b);
}

const redisReply *redis_pipeline_reply(const RedisPipeline *p, size_t i) {
        return i < p->n ? p->commands[i].reply : NULL;
}

int redis_command_format(const RedisCommand *c, const char *sha, Buffer *out) {
        (void) buffer_printf(out, "*%zu\r\n", c->argc);
        for (size_t i = 0; i < c->argc; i++) {
                const char *arg = c->argv[i];
                size_t length = c->lengths[i];

                if (c->script && i == 0) {
                        arg = sha ? "EVALSHA" : "EVAL";
                        length = strlen(arg);
                }
                if (c->script && i == 1) {
                        arg = sha ? sha : c->script->text;
                        length = strlen(arg);
                }
                (void) buffer_printf(out, "$%zu\r\n", length);
                (void) buffer_append(out, arg, length);
                (void) buffer_append(out, "\r\n", 2);
        }
        return buffer_failed(out) ? -ENOMEM : 0;
}

void redis_command_set_reply(RedisCommand *c, redisReply *reply) {
        if (c->reply)
                freeReplyObject(c->reply);
        c->reply = reply;
}
