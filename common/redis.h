#pragma once

/* hiredis behind a thin blocking client with deadlines: connect, pipelines, scripts with NOSCRIPT fall-back.
 * Non-blocking socket plus poll on {socket, cancel token}. Names are resolved by a thread of their own. Data always by
 * length. A RedisConn belongs to one thread at a time. It reconnects by itself at the next call after a failure. */

#include <hiredis/hiredis.h>

#include "common/cancel.h"
#include "common/error.h"
#include "common/util.h"

typedef struct RedisConn RedisConn;

/* redis://[user:]password@host[:6379][/db], redis://host, or unix:///path.sock[?db=n] and /path. The specification of
 * the original's URLs: runtime section 9.1. rediss:// is refused with a hint. */
typedef struct RedisUrl {
        char *host, *path, *password, *display; /* display: without credentials */
        int port, database;
} RedisUrl;
int redis_url_parse(const char *url, RedisUrl *ret, Error *reterr);
void redis_url_done(RedisUrl *u);

typedef void (*RedisStateCallback)(const Error *error, void *userdata); /* NULL error: it answered */

/* No I/O. command_timeout_usec bounds every reply besides the token's deadline (0: 30 s). */
int redis_conn_new(const char *url, const char *client_name, uint64_t command_timeout_usec, RedisStateCallback on_state,
                   void *userdata, RedisConn **ret, Error *reterr);
RedisConn *redis_conn_free(RedisConn *c);
DEFINE_CLEANUP(RedisConn, redis_conn_free)
const char *redis_conn_display(const RedisConn *c);
/* Drops the connection (after a lost reply it must not be reused). */
void redis_conn_reset(RedisConn *c);

/* A Lua script; its SHA-1 is learnt by SCRIPT LOAD at first use on a connection. */
typedef struct RedisScript {
        const char *name;
        const char *text;
} RedisScript;

/* A pipeline: commands appended, then executed in one round trip; replies in order. */
typedef struct RedisPipeline RedisPipeline;
int redis_pipeline_new(RedisPipeline **ret);
RedisPipeline *redis_pipeline_free(RedisPipeline *p);
DEFINE_CLEANUP(RedisPipeline, redis_pipeline_free)
#define _cleanup_redis_pipeline_ _cleanup_(redis_pipeline_freep)
void redis_pipeline_clear(RedisPipeline *p);
/* Copies the arguments. lengths NULL: strlen of each. */
int redis_pipeline_add(RedisPipeline *p, size_t argc, const char *const *argv, const size_t *lengths);
/* Convenience for string arguments: redis_pipeline_addv(p, "LRANGE", key, "0", "-1", NULL). */
int redis_pipeline_addv(RedisPipeline *p, ...) __attribute__((sentinel));
int redis_pipeline_add_script(RedisPipeline *p, const RedisScript *script, size_t n_keys, const char *const *keys,
                              size_t n_args, const char *const *args);
/* The same for keys and arguments that may hold any byte. lengths NULL: strlen of each. */
int redis_pipeline_add_script_data(RedisPipeline *p, const RedisScript *script, size_t n_keys, const char *const *keys,
                                   const size_t *key_lengths, size_t n_args, const char *const *args,
                                   const size_t *arg_lengths);
size_t redis_pipeline_count(const RedisPipeline *p);
/* Text of command i for people ("DEL roundtable.x"), for dry runs and errors. New string. */
char *redis_pipeline_describe(const RedisPipeline *p, size_t i);
/* Replies after redis_execute, borrowed until clear or free. */
const redisReply *redis_pipeline_reply(const RedisPipeline *p, size_t i);

/* One round trip (a second one only for scripts the server forgot). `name` is for errors and failpoints. 0 when all
 * replies arrived, also when some of them are error replies, which are the caller's to look at (redis_reply_check).
 * A connection lost after sending is ERROR_UNCERTAIN, before: ERROR_RETRY; refused password: ERROR_NEVER. */
int redis_execute(RedisConn *c, const char *name, RedisPipeline *p, CancelToken *token, Error *reterr);
/* As redis_execute, but hands over each reply as it arrives and frees it then, so that a pipeline of large replies
 * needs the memory of one of them while the server already makes the next. No scripts in it (-EINVAL). The callback's
 * negative errno ends it, and the connection. Replies handed over before a failure stay handed over. */
typedef int (*RedisReplyCallback)(size_t i, const redisReply *reply, void *userdata, Error *reterr);
int redis_execute_each(RedisConn *c, const char *name, RedisPipeline *p, RedisReplyCallback callback, void *userdata,
                       CancelToken *token, Error *reterr);
/* One command, one reply; the caller frees it with freeReplyObject. Error replies become errors. */
int redis_command(RedisConn *c, const char *name, CancelToken *token, redisReply **ret, Error *reterr, size_t argc,
                  const char *const *argv, const size_t *lengths);
/* -EBADMSG with a text naming the command when the reply is an error or not of `type` (REDIS_REPLY_*). */
int redis_reply_check(const redisReply *r, int type, const char *name, Error *reterr);
uint64_t redis_conn_round_trips(const RedisConn *c);
uint64_t redis_conn_commands(const RedisConn *c);
