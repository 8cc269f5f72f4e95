/* Bytes as a server's answers: whatever hiredis makes of them is told apart, and is a hash for the order books or
 * refused. */

#include <stdint.h>
#include <stdlib.h>

#include "common/redis.h"
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
        redisReader *reader = promises_much(data, size) ? NULL : redisReaderCreate();
        void *reply = NULL;

        if (!reader)
                return 0;
        (void) redisReaderFeed(reader, (const char *) data, size);
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
                look(reply);
                freeReplyObject(reply);
        }
        redisReaderFree(reader);
        return 0;
}
