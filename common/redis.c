/* One connection to Redis, used by one thread. Bytes are moved by poll on {socket, cancel token}: replies are read
 * while commands are still being written, so that a long pipeline cannot block against full socket buffers on both
 * sides. A connection that lost a reply is dropped: what came later would be taken for an answer to something else. */

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/redis_internal.h"
#include "common/resolve.h"

#define CONNECT_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define DEFAULT_COMMAND_TIMEOUT_USEC (30 * USEC_PER_SEC)
#define LOADING_RETRY_USEC (50 * USEC_PER_MSEC)
#define MAX_SCRIPTS 32

typedef struct KnownScript {
        const RedisScript *script;
        char sha[REDIS_SHA_LENGTH + 1];
} KnownScript;

struct RedisConn {
        RedisUrl url;
        char *client_name;
        uint64_t command_timeout_usec;
        RedisStateCallback on_state;
        void *userdata;
        redisContext *context; /* NULL: not connected */
        KnownScript scripts[MAX_SCRIPTS];
        size_t n_scripts;
        uint64_t round_trips, commands;
};

int redis_conn_new(const char *url, const char *client_name, uint64_t command_timeout_usec, RedisStateCallback on_state,
                   void *userdata, RedisConn **ret, Error *reterr) {
        _cleanup_(redis_conn_freep) RedisConn *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = redis_url_parse(url, &c->url, reterr);
        if (r < 0)
                return r;
        c->client_name = strdup(client_name ? client_name : "roundtable");
        if (!c->client_name)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        /* CLIENT SETNAME refuses blanks */
        for (char *p = c->client_name; *p; p++)
                if (*p <= ' ' || *p > '~')
                        *p = '_';
        c->command_timeout_usec = command_timeout_usec ? command_timeout_usec : DEFAULT_COMMAND_TIMEOUT_USEC;
        c->on_state = on_state;
        c->userdata = userdata;
        *ret = TAKE_PTR(c);
        return 0;
}

RedisConn *redis_conn_free(RedisConn *c) {
        if (!c)
                return NULL;
        redis_conn_reset(c);
        redis_url_done(&c->url);
        free(c->client_name);
        free(c);
        return NULL;
}

const char *redis_conn_display(const RedisConn *c) {
        return c->url.display;
}

void redis_conn_reset(RedisConn *c) {
        if (c->context)
                redisFree(c->context);
        c->context = NULL;
}

uint64_t redis_conn_round_trips(const RedisConn *c) {
        return c->round_trips;
}

uint64_t redis_conn_commands(const RedisConn *c) {
        return c->commands;
}

static void report_state(RedisConn *c, const Error *e) {
        /* a cancelled run says nothing about the server, and a refused command means that it answered */
        if (c->on_state && (!e || e->kind == ERROR_RETRY || e->kind == ERROR_UNCERTAIN || e->kind == ERROR_NEVER))
                c->on_state(e, c->userdata);
}

/* One exchange under way: bytes to write, replies to come. */
typedef struct Exchange {
        RedisConn *conn;
        const char *name;
        Buffer out;
        size_t written;
        uint64_t progress_usec; /* monotonic instant of the last byte moved */
        CancelToken *token;
        bool greeting; /* a server that has no place for us says so and closes, without having been asked */
} Exchange;

static int exchange_fail(Exchange *x, int err, const char *what, Error *reterr) {
        const ErrorKind kind = x->written > 0 ? ERROR_UNCERTAIN : ERROR_RETRY;
        int r = error_set(reterr, kind, err, "redis %s: %s: %s%s", x->conn->url.display, x->name, what,
                          kind == ERROR_UNCERTAIN ? " (it may have been executed)" : "");

        redis_conn_reset(x->conn); /* last: the text may be the connection's */
        return r;
}

/* 1: not everything, but there is something to read. */
static int exchange_write(Exchange *x, Error *reterr) {
        while (x->written < x->out.length) {
                ssize_t n = send(x->conn->context->fd, x->out.data + x->written, x->out.length - x->written,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                        return 0;
                if (n < 0) {
                        const int err = errno;

                        if (x->greeting && err == EPIPE && redisBufferRead(x->conn->context) == REDIS_OK)
                                return 1;
                        return exchange_fail(x, -err, strerror(err), reterr);
                }
                x->written += (size_t) n;
                x->progress_usec = clock_monotonic_usec();
        }
        return 0;
}

/* Waits for the socket, at most until the command time-out since the last progress. */
static int exchange_wait(Exchange *x, Error *reterr) {
        const short events = POLLIN | (x->written < x->out.length ? POLLOUT : 0);
        uint64_t now = clock_monotonic_usec(), until = x->progress_usec + x->conn->command_timeout_usec;
        int r;

        r = cancel_token_poll(x->token, x->conn->context->fd, events, until > now ? until - now : 0);
        if (r > 0)
                return r;
        if (r == 0)
                return exchange_fail(x, -ETIMEDOUT, "no answer in time", reterr);
        if (r != -ECANCELED && r != -ETIMEDOUT)
                return exchange_fail(x, r, strerror(-r), reterr);
        redis_conn_reset(x->conn);
        return error_set(reterr, ERROR_CANCELED, r, "redis %s: %s: cancelled while waiting for the answer%s",
                         x->conn->url.display, x->name, x->written > 0 ? " (it may have been executed)" : "");
}

/* Gets the next reply, writing what is still to be written meanwhile. */
static int exchange_next(Exchange *x, redisReply **ret, Error *reterr) {
        for (;;) {
                redisContext *context = x->conn->context;
                void *reply = NULL;
                int r;

                if (redisGetReplyFromReader(context, &reply) != REDIS_OK)
                        return exchange_fail(x, -EBADMSG, context->errstr, reterr);
                if (reply) {
                        *ret = reply;
                        return 0;
                }
                r = exchange_write(x, reterr);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                r = exchange_wait(x, reterr);
                if (r < 0)
                        return r;
                if (!(r & ~POLLOUT))
                        continue;
                if (redisBufferRead(context) != REDIS_OK)
                        return exchange_fail(x, -ECONNRESET, context->errstr, reterr);
                x->progress_usec = clock_monotonic_usec();
        }
}

static int conn_wait_connected(RedisConn *c, CancelToken *token, Error *reterr) {
        int r, socket_error = 0;
        socklen_t length = sizeof(socket_error);

        r = cancel_token_poll(token, c->context->fd, POLLOUT, CONNECT_TIMEOUT_USEC);
        if (r == 0)
                return error_set(reterr, ERROR_RETRY, -ETIMEDOUT, "redis %s: no answer to the connection request",
                                 c->url.display);
        if (r == -ECANCELED || r == -ETIMEDOUT)
                return error_set(reterr, ERROR_CANCELED, r, "redis %s: cancelled while connecting", c->url.display);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "redis %s: %s", c->url.display, strerror(-r));
        if (getsockopt(c->context->fd, SOL_SOCKET, SO_ERROR, &socket_error, &length) < 0)
                socket_error = errno;
        if (socket_error != 0)
                return error_set(reterr, ERROR_RETRY, -socket_error, "redis %s: %s", c->url.display,
                                 strerror(socket_error));
        c->context->flags |= REDIS_CONNECTED;
        return 0;
}

/* Takes a context fresh from hiredis and waits for its connection; on failure there is none. */
static int conn_adopt(RedisConn *c, redisContext *context, CancelToken *token, Error *reterr) {
        int r;

        if (!context)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory connecting to redis");
        c->context = context;
        if (context->err) {
                r = error_set(reterr, ERROR_RETRY, -ECONNREFUSED, "redis %s: %s", c->url.display, context->errstr);
                redis_conn_reset(c);
                return r;
        }
        r = conn_wait_connected(c, token, reterr);
        if (r < 0)
                redis_conn_reset(c);
        return r;
}

static int conn_open_socket(RedisConn *c, CancelToken *token, Error *reterr) {
        struct addrinfo *addresses = NULL;
        int r;

        if (c->url.path)
                return conn_adopt(c, redisConnectUnixNonBlock(c->url.path), token, reterr);
        r = resolve_host(c->url.host, c->url.port, CONNECT_TIMEOUT_USEC, token, &addresses, reterr);
        if (r < 0)
                return r;
        r = -EHOSTUNREACH;
        for (struct addrinfo *a = addresses; a; a = a->ai_next) {
                char numeric[NI_MAXHOST];

                if (getnameinfo(a->ai_addr, a->ai_addrlen, numeric, sizeof(numeric), NULL, 0, NI_NUMERICHOST) != 0)
                        continue;
                r = conn_adopt(c, redisConnectNonBlock(numeric, c->url.port), token, reterr);
                if (r >= 0 || r == -ECANCELED)
                        break;
        }
        freeaddrinfo(addresses);
        if (r >= 0)
                (void) redisEnableKeepAlive(c->context);
        return r;
}

static bool reply_is_error(const redisReply *r, const char *code) {
        return r && r->type == REDIS_REPLY_ERROR && strncmp(r->str, code, strlen(code)) == 0;
}

/* Where the code of an error reply begins. Before Redis 7, one of a command inside a script comes as
 * "ERR Error running script (call to f_…): @user_script:7: @user_script: 7: -OOM command not allowed …". */
static const char *error_code(const char *text) {
        static const char prefix[] = "ERR Error running script";
        const char *inner = strncmp(text, prefix, sizeof(prefix) - 1) == 0 ? strstr(text, ": -") : NULL;

        return inner ? inner + 3 : text;
}

static int reply_error(const char *display, const char *name, const redisReply *r, Error *reterr) {
        static const struct {
                const char *code;
                ErrorKind kind;
                int err;
                const char *hint;
        } known[] = {
                { "LOADING", ERROR_RETRY, -EAGAIN, "the server is reading its data; wait" },
                { "BUSY ", ERROR_RETRY, -EBUSY, "a script blocks the server; see SCRIPT KILL" },
                { "READONLY", ERROR_RETRY, -EROFS, "redis.url names a replica; name the primary" },
                { "MASTERDOWN", ERROR_RETRY, -EAGAIN, NULL },
                { "OOM", ERROR_RETRY, -ENOSPC, "raise maxmemory or free memory on the server" },
                { "MISCONF", ERROR_RETRY, -EIO, "the server cannot write its data; see its log" },
                { "NOREPLICAS", ERROR_RETRY, -EAGAIN, NULL },
                { "NOAUTH", ERROR_NEVER, -EACCES,
                  "set the password in redis.url, redis.password_file or a credential" },
                { "WRONGPASS", ERROR_NEVER, -EACCES, "check the password of redis.url" },
                { "NOPERM", ERROR_NEVER, -EACCES, "give the user the permission on the server" },
                { "ERR The user executing the script can't", ERROR_NEVER, -EACCES,
                  "give the user the permission on the server" },
                { "ERR invalid password", ERROR_NEVER, -EACCES, "check the password of redis.url" },
                { "ERR max number of clients", ERROR_RETRY, -EAGAIN, "raise maxclients on the server, or wait" },
                { "ERR AUTH", ERROR_NEVER, -EACCES, "the server has no password; take it out of redis.url" },
                { "ERR Client sent AUTH", ERROR_NEVER, -EACCES,
                  "the server has no password; take it out of redis.url" },
                { "DENIED", ERROR_NEVER, -EACCES,
                  "the server accepts nobody from other hosts: set a password there, or see its protected-mode" },
                { "ERR DB index is out of range", ERROR_NEVER, -ENOENT, "name a database of the server in redis.url" },
        };
        const char *code = error_code(r->str);

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (strncmp(code, known[i].code, strlen(known[i].code)) == 0) {
                        int err = error_set(reterr, known[i].kind, known[i].err, "redis %s: %s: %s", display, name,
                                            r->str);

                        if (known[i].hint)
                                error_set_hint(reterr, "%s", known[i].hint);
                        return err;
                }
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "redis %s: %s: %s", display, name, r->str);
}

/* Sends one command of the connection's own (AUTH, SELECT, PING …) and waits for its reply. */
static int conn_simple(RedisConn *c, const char *name, size_t argc, const char *const *argv, CancelToken *token,
                       redisReply **ret, Error *reterr) {
        Exchange x = {
                .conn = c,
                .name = name,
                .token = token,
                .progress_usec = clock_monotonic_usec(),
                .greeting = true,
        };
        int r;

        (void) buffer_printf(&x.out, "*%zu\r\n", argc);
        for (size_t i = 0; i < argc; i++)
                (void) buffer_printf(&x.out, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
        if (buffer_failed(&x.out))
                r = error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        else
                r = exchange_next(&x, ret, reterr);
        buffer_done(&x.out);
        c->round_trips++;
        return r;
}

static int conn_simple_ok(RedisConn *c, const char *name, size_t argc, const char *const *argv, CancelToken *token,
                          Error *reterr) {
        redisReply *reply = NULL;
        int r;

        r = conn_simple(c, name, argc, argv, token, &reply, reterr);
        if (r < 0)
                return r;
        r = reply->type == REDIS_REPLY_ERROR ? reply_error(c->url.display, name, reply, reterr) : 0;
        freeReplyObject(reply);
        return r;
}

/* A server that reads its data answers PING with LOADING: wait for it as long as for a command. */
static int conn_wait_loaded(RedisConn *c, CancelToken *token, Error *reterr) {
        const uint64_t until = clock_monotonic_usec() + c->command_timeout_usec;

        for (;;) {
                redisReply *reply = NULL;
                bool loading;
                int r;

                r = conn_simple(c, "PING", 1, (const char *const[]){ "PING" }, token, &reply, reterr);
                if (r < 0)
                        return r;
                loading = reply_is_error(reply, "LOADING");
                r = reply->type == REDIS_REPLY_ERROR ? reply_error(c->url.display, "PING", reply, reterr) : 0;
                freeReplyObject(reply);
                if (!loading || clock_monotonic_usec() >= until)
                        return r;
                r = cancel_token_poll(token, -1, 0, LOADING_RETRY_USEC);
                if (r < 0)
                        return error_set(reterr, ERROR_CANCELED, r, "redis %s: cancelled while it loads its data",
                                         c->url.display);
        }
}

static int conn_hello(RedisConn *c, CancelToken *token, Error *reterr) {
        char database[16];
        int r;

        if (c->url.password) {
                r = conn_simple_ok(c, "AUTH", 2, (const char *const[]){ "AUTH", c->url.password }, token, reterr);
                if (r < 0)
                        return r;
        }
        r = conn_wait_loaded(c, token, reterr);
        if (r < 0)
                return r;
        if (c->url.database != 0) {
                (void) snprintf(database, sizeof(database), "%d", c->url.database);
                r = conn_simple_ok(c, "SELECT", 2, (const char *const[]){ "SELECT", database }, token, reterr);
                if (r < 0)
                        return r;
        }
        return conn_simple_ok(c, "CLIENT SETNAME", 3, (const char *const[]){ "CLIENT", "SETNAME", c->client_name },
                              token, reterr);
}

/* An idle connection that the server closed shows as readable: open a new one instead of failing the caller. */
static bool conn_is_stale(RedisConn *c) {
        struct pollfd p = { .fd = c->context->fd, .events = POLLIN };

        return c->context->err || poll(&p, 1, 0) != 0;
}

static int conn_ensure(RedisConn *c, CancelToken *token, Error *reterr) {
        int r;

        if (c->context && conn_is_stale(c))
                redis_conn_reset(c);
        if (c->context)
                return 0;
        r = conn_open_socket(c, token, reterr);
        if (r < 0) {
                if (reterr && !reterr->hint && reterr->kind == ERROR_RETRY)
                        error_set_hint(reterr, "is the server running, and is redis.url right?");
                return r;
        }
        r = conn_hello(c, token, reterr);
        if (r >= 0)
                return 0;
        redis_conn_reset(c);
        /* nothing of the caller's was sent */
        if (reterr && reterr->kind == ERROR_UNCERTAIN)
                reterr->kind = ERROR_RETRY;
        return r;
}

static const char *conn_find_sha(RedisConn *c, const RedisScript *script) {
        for (size_t i = 0; i < c->n_scripts; i++)
                if (c->scripts[i].script == script)
                        return c->scripts[i].sha;
        return NULL;
}

/* Learns the SHA-1 by SCRIPT LOAD; it depends on the text alone, so it stays valid after a reconnect. */
static int conn_load_script(RedisConn *c, const RedisScript *script, CancelToken *token, Error *reterr) {
        redisReply *reply = NULL;
        int r;

        r = conn_simple(c, script->name, 3, (const char *const[]){ "SCRIPT", "LOAD", script->text }, token, &reply,
                        reterr);
        if (r < 0) {
                if (reterr && reterr->kind == ERROR_UNCERTAIN)
                        reterr->kind = ERROR_RETRY; /* loading a script changes nothing */
                return r;
        }
        if (reply->type == REDIS_REPLY_ERROR)
                r = reply_error(c->url.display, script->name, reply, reterr);
        else if (reply->type != REDIS_REPLY_STRING || reply->len != REDIS_SHA_LENGTH || c->n_scripts == MAX_SCRIPTS)
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "redis %s: unexpected reply to SCRIPT LOAD of %s",
                              c->url.display, script->name);
        else {
                c->scripts[c->n_scripts].script = script;
                (void) memcpy(c->scripts[c->n_scripts++].sha, reply->str, REDIS_SHA_LENGTH + 1);
        }
        freeReplyObject(reply);
        return r;
}

static int conn_load_scripts(RedisConn *c, const RedisPipeline *p, CancelToken *token, Error *reterr) {
        for (size_t i = 0; i < p->n; i++) {
                int r;

                if (!p->commands[i].script || conn_find_sha(c, p->commands[i].script))
                        continue;
                r = conn_load_script(c, p->commands[i].script, token, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where the replies of an exchange go that do not stay in the pipeline. */
typedef struct ReplySink {
        RedisReplyCallback callback;
        void *userdata;
        RedisArena arena;
        bool stopped; /* by the callback, which says nothing about the server */
} ReplySink;

static int take_reply(RedisConn *c, RedisPipeline *p, size_t i, redisReply *reply, ReplySink *sink, Error *reterr) {
        int r;

        if (!sink) {
                redis_command_set_reply(&p->commands[i], reply);
                return 0;
        }
        r = sink->callback(i, reply, sink->userdata, reterr);
        redis_arena_clear(&sink->arena);
        /* the replies that were not read would be taken for answers to something else */
        if (r < 0) {
                sink->stopped = true;
                redis_conn_reset(c);
        }
        return r;
}

/* Sends the commands that `only_forgotten` selects (all, or the scripts answered NOSCRIPT, now with their text). */
static int conn_exchange(RedisConn *c, const char *name, RedisPipeline *p, bool only_forgotten, ReplySink *sink,
                         CancelToken *token, Error *reterr) {
        Exchange x = { .conn = c, .name = name, .token = token, .progress_usec = clock_monotonic_usec() };
        redisReplyObjectFunctions *functions = NULL;
        int r = 0;

        if (sink)
                functions = redis_arena_enter(&sink->arena, c->context->reader);
        for (size_t i = 0; i < p->n && r >= 0; i++) {
                RedisCommand *command = &p->commands[i];

                if (only_forgotten && !reply_is_error(command->reply, "NOSCRIPT"))
                        continue;
                r = redis_command_format(
                        command, command->script && !only_forgotten ? conn_find_sha(c, command->script) : NULL, &x.out);
                c->commands++;
        }
        if (r < 0)
                r = error_set(reterr, ERROR_RETRY, r, "redis %s: %s: out of memory", c->url.display, name);
        else
                r = exchange_write(&x, reterr);
        if (r >= 0)
                FAILPOINT("redis", name, "sent");
        for (size_t i = 0; i < p->n && r >= 0; i++) {
                redisReply *reply = NULL;

                if (only_forgotten && !reply_is_error(p->commands[i].reply, "NOSCRIPT"))
                        continue;
                r = exchange_next(&x, &reply, reterr);
                if (r >= 0)
                        r = take_reply(c, p, i, reply, sink, reterr);
        }
        /* on failure the connection is gone, and its reader with it */
        if (sink && c->context)
                redis_arena_leave(c->context->reader, functions);
        buffer_done(&x.out);
        c->round_trips++;
        return r;
}

static bool any_forgotten(const RedisPipeline *p) {
        for (size_t i = 0; i < p->n; i++)
                if (p->commands[i].script && reply_is_error(p->commands[i].reply, "NOSCRIPT"))
                        return true;
        return false;
}

static int execute(RedisConn *c, const char *name, RedisPipeline *p, ReplySink *sink, CancelToken *token,
                   Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        if (p->n == 0)
                return 0;
        FAILPOINT("redis", name, "before");
        for (size_t i = 0; i < p->n; i++)
                redis_command_set_reply(&p->commands[i], NULL);
        r = conn_ensure(c, token, &e);
        if (r >= 0)
                r = conn_load_scripts(c, p, token, &e);
        /* -EBADMSG says that a key or its data are not what they should be: nothing was asked about any key yet */
        if (r == -EBADMSG)
                r = e.err = -EPROTO;
        if (r >= 0)
                r = conn_exchange(c, name, p, false, sink, token, &e);
        /* the server lost its scripts (SCRIPT FLUSH, restart): those commands alone are sent again, with the text */
        if (r >= 0 && any_forgotten(p))
                r = conn_exchange(c, name, p, true, NULL, token, &e);
        report_state(c, r < 0 && !(sink && sink->stopped) ? &e : NULL);
        if (r < 0) {
                if (reterr)
                        error_move(reterr, &e);
                return r;
        }
        FAILPOINT("redis", name, "after");
        return 0;
}

int redis_execute(RedisConn *c, const char *name, RedisPipeline *p, CancelToken *token, Error *reterr) {
        return execute(c, name, p, NULL, token, reterr);
}

int redis_execute_each(RedisConn *c, const char *name, RedisPipeline *p, RedisReplyCallback callback, void *userdata,
                       CancelToken *token, Error *reterr) {
        ReplySink sink = { .callback = callback, .userdata = userdata };
        int r;

        for (size_t i = 0; i < p->n; i++)
                if (p->commands[i].script)
                        return error_set(reterr, ERROR_NEVER, -EINVAL, "redis %s: %s: scripts are not streamed",
                                         c->url.display, name);
        r = execute(c, name, p, &sink, token, reterr);
        redis_arena_done(&sink.arena);
        return r;
}

int redis_command(RedisConn *c, const char *name, CancelToken *token, redisReply **ret, Error *reterr, size_t argc,
                  const char *const *argv, const size_t *lengths) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        int r;

        r = redis_pipeline_new(&p);
        if (r >= 0)
                r = redis_pipeline_add(p, argc, argv, lengths);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "redis %s: %s: out of memory", c->url.display, name);
        r = redis_execute(c, name, p, token, reterr);
        if (r < 0)
                return r;
        if (p->commands[0].reply->type == REDIS_REPLY_ERROR)
                return reply_error(c->url.display, name, p->commands[0].reply, reterr);
        if (ret)
                *ret = TAKE_PTR(p->commands[0].reply);
        return 0;
}

static const char *reply_type_to_string(int type) {
        static const char *const names[] = {
                [REDIS_REPLY_STRING] = "a string",    [REDIS_REPLY_ARRAY] = "an array",
                [REDIS_REPLY_INTEGER] = "an integer", [REDIS_REPLY_NIL] = "nil",
                [REDIS_REPLY_STATUS] = "a status",    [REDIS_REPLY_ERROR] = "an error",
        };

        return type > 0 && (size_t) type < ELEMENTSOF(names) && names[type] ? names[type] : "something unknown";
}

int redis_reply_check(const redisReply *r, int type, const char *name, Error *reterr) {
        if (!r)
                return error_set(reterr, ERROR_UNCERTAIN, -ENODATA, "redis: %s: no reply", name);
        if (r->type == type)
                return 0;
        if (r->type == REDIS_REPLY_ERROR)
                return reply_error("server", name, r, reterr);
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: %s: expected %s, got %s", name,
                         reply_type_to_string(type), reply_type_to_string(r->type));
}
