#pragma once

/* Between redis_pipeline.c, which keeps commands and replies, and redis.c, which moves them. */

#include "common/redis.h"

typedef struct RedisCommand {
        size_t argc;
        char **argv;
        size_t *lengths;
        const RedisScript *script; /* then argv[0] and argv[1] are EVALSHA and a place for the SHA-1 */
        redisReply *reply;         /* owned */
} RedisCommand;

struct RedisPipeline {
        RedisCommand *commands;
        size_t n, allocated;
};

#define REDIS_SHA_LENGTH 40

/* Appends the command in the protocol's form. `sha` is for scripts; NULL sends the script's text by EVAL. */
int redis_command_format(const RedisCommand *c, const char *sha, Buffer *out);
void redis_command_set_reply(RedisCommand *c, redisReply *reply); /* takes it */
