#pragma once

/* Between redis_pipeline.c, which keeps commands and replies, redis_arena.c, where replies lie that are not kept, and
 * redis.c, which moves them. */

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

/* Memory for one reply at a time; all-zero is an empty one. Not thread-safe. */
typedef struct RedisArenaBlock RedisArenaBlock;
typedef struct RedisArena {
        RedisArenaBlock *blocks;
} RedisArena;
void redis_arena_done(RedisArena *a);
#define _cleanup_redis_arena_ _cleanup_(redis_arena_done)
/* Ends the life of the replies in it. */
void redis_arena_clear(RedisArena *a);
/* From here the reader, which has no reply begun, makes its replies in the arena, until it is given back what it had
 * before. */
redisReplyObjectFunctions *redis_arena_enter(RedisArena *a, redisReader *reader);
void redis_arena_leave(redisReader *reader, redisReplyObjectFunctions *before);
