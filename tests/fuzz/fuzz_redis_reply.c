/* Bytes as a server's answers: whatever hiredis makes of them is told apart, is a hash for the order books or refused,
 * and is the same where it lies in an arena. */

#include <stdint.h>
#include <stdlib.h>

#include "common/redis_internal.h"
#include "workers/market/orderbook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const redisReply *reply) {
        _cleanup_orderbook_ Orderbook b = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        for (int type = REDIS_REPLY_STRING; type <= REDIS_REPLY_ERROR; type++) {
                int r = redis_reply_check(reply, type, "fuzz", &e);

                if ((r == 0) != (reply->type == type) && reply->type != REDIS_REPLY_ERROR)
                        abort();
                if (r < 0 && str_empty(error_text(&e)))
                        abort();
        }
        (void) orderbook_side_parse(&b.sides[0], reply, reply, ORDERBOOK_NUMBERS, &e);
        if (reply->type != REDIS_REPLY_ARRAY)
                return;
        for (size_t i = 0; i + 1 < reply->elements; i++)
                (void) orderbook_side_parse(&b.sides[1], reply->element[i], reply->element[i + 1], 0, &e);
}

static void must_be_same(const redisReply *a, const redisReply *b) {
        bool text = a->type == REDIS_REPLY_STRING || a->type == REDIS_REPLY_STATUS || a->type == REDIS_REPLY_ERROR;

        if (a->type != b->type || a->integer != b->integer || a->elements != b->elements)
                abort();
        if (text && (a->len != b->len || memcmp(a->str, b->str, a->len) != 0 || b->str[b->len] != '\0'))
                abort();
        for (size_t i = 0; i < a->elements; i++)
                must_be_same(a->element[i], b->element[i]);
}

/* hiredis allocates at once what the length of an array promises. */
static bool promises_much(const uint8_t *data, size_t size) {
        size_t digits = 0;

        for (size_t i = 0; i < size; i++) {
                digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
                if (digits > 5)
                        return true;
        }
        return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        redisReader *reader, *other;
        _cleanup_redis_arena_ RedisArena arena = { 0 };

        if (promises_much(data, size))
                return 0;
        reader = redisReaderCreate();
        other = redisReaderCreate();
        if (!reader || !other)
                abort();
        (void) redis_arena_enter(&arena, other);
        (void) redisReaderFeed(reader, (const char *) data, size);
        /* in two parts, so that a reply is begun before all of it is there */
        (void) redisReaderFeed(other, (const char *) data, size / 2);
        for (bool fed = false;;) {
                void *reply = NULL, *same = NULL;
                int r = redisReaderGetReply(other, &same);

                if (r == REDIS_OK && !same && !fed) {
                        (void) redisReaderFeed(other, (const char *) data + size / 2, size - size / 2);
                        fed = true;
                        continue;
                }
                if (redisReaderGetReply(reader, &reply) != r || !reply != !same)
                        abort();
                if (!reply)
                        break;
                must_be_same(reply, same);
                look(same);
                redis_arena_clear(&arena);
                freeReplyObject(reply);
        }
        redisReaderFree(reader);
        redisReaderFree(other);
        return 0;
}
