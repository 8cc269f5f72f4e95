/* Replies that are handed over one by one and then done with. hiredis makes two allocations of each string, which for
 * replies of thousands of strings is most of the time that a client takes; here a reply lies in few blocks, which the
 * next one uses again. */

#include <stddef.h>

#include "common/redis_internal.h"

#define FIRST_BLOCK ((size_t) 16 << 10)

/* A length or a count of elements as hiredis passes it. */
#if HIREDIS_MAJOR >= 1
typedef size_t ElementCount;
#else
typedef int ElementCount;
#endif

struct RedisArenaBlock {
        struct RedisArenaBlock *next;
        size_t size, used;
        max_align_t data[];
};

static void free_blocks(RedisArenaBlock *b) {
        while (b) {
                RedisArenaBlock *next = b->next;

                free(b);
                b = next;
        }
}

void redis_arena_done(RedisArena *a) {
        free_blocks(a->blocks);
        a->blocks = NULL;
}

void redis_arena_clear(RedisArena *a) {
#ifdef __SANITIZE_ADDRESS__
        redis_arena_done(a); /* so that whoever keeps a reply is found out */
#else
        /* the newest block is the largest: replies of one size soon need no other */
        if (!a->blocks)
                return;
        free_blocks(a->blocks->next);
        a->blocks->next = NULL;
        a->blocks->used = 0;
#endif
}

static void *allocate(RedisArena *a, size_t n) {
        RedisArenaBlock *b = a->blocks;
        void *p;

        if (n > SIZE_MAX / 4)
                return NULL;
        n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
        if (!b || b->size - b->used < n) {
                size_t size = b ? 2 * b->size : FIRST_BLOCK;

                if (size < n)
                        size = n;
                b = malloc(sizeof(*b) + size);
                if (!b)
                        return NULL;
                *b = (RedisArenaBlock){ .next = a->blocks, .size = size };
                a->blocks = b;
        }
        p = (char *) b->data + b->used;
        b->used += n;
        return p;
}

/* Room for a reply and `more` bytes behind it; puts it into the array that it is part of. */
static redisReply *make(const redisReadTask *task, size_t more) {
        redisReply *r = more <= SIZE_MAX / 8 ? allocate(task->privdata, sizeof(*r) + more) : NULL;

        if (!r)
                return NULL; /* hiredis reports it */
        *r = (redisReply){ .type = task->type };
        if (task->parent)
                ((redisReply *) task->parent->obj)->element[task->idx] = r;
        return r;
}

static void *make_string(const redisReadTask *task, char *s, size_t n) {
        redisReply *r = make(task, n < SIZE_MAX ? n + 1 : n);

        if (!r)
                return NULL;
        r->str = (char *) (r + 1);
        (void) memcpy(r->str, s, n);
        r->str[n] = '\0';
        r->len = n;
        return r;
}

static void *make_array(const redisReadTask *task, ElementCount n) {
        size_t size = (size_t) n <= SIZE_MAX / 8 / sizeof(redisReply *) ? (size_t) n * sizeof(redisReply *) : SIZE_MAX;
        redisReply *r = make(task, size);

        if (!r)
                return NULL;
        r->element = (redisReply **) (r + 1);
        r->elements = (size_t) n;
        (void) memset(r->element, 0, size);
        return r;
}

static void *make_integer(const redisReadTask *task, long long value) {
        redisReply *r = make(task, 0);

        if (r)
                r->integer = value;
        return r;
}

static void *make_nil(const redisReadTask *task) {
        redisReply *r = make(task, 0);

        if (r)
                r->type = REDIS_REPLY_NIL; /* the task's is what is missing: a string, an array */
        return r;
}

static void leave(void *reply) {
        (void) reply; /* goes with its arena */
}

static redisReplyObjectFunctions functions = {
        .createString = make_string,
        .createArray = make_array,
        .createInteger = make_integer,
        .createNil = make_nil,
        .freeObject = leave,
};

redisReplyObjectFunctions *redis_arena_enter(RedisArena *a, redisReader *reader) {
        redisReplyObjectFunctions *before = reader->fn;

        reader->fn = &functions;
        reader->privdata = a;
        return before;
}

void redis_arena_leave(redisReader *reader, redisReplyObjectFunctions *before) {
        reader->fn = before;
        reader->privdata = NULL;
}
