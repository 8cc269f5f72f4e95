#include <assert.h>

#include "common/proto/off_chain_updates.pb-c.h"
#include "common/proto/redis_order.pb-c.h"
#include "common/proto/redis_text.h"
#include "workers/orders/expired_order.h"

static inline void redis_order_free(Indexer__RedisOrder *o) {
        indexer__redis_order__free_unpacked(o, NULL);
}
DEFINE_CLEANUP(Indexer__RedisOrder, redis_order_free)

static int bad(Error *reterr, const char *text) {
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "%s", text);
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* The filled quantums of "<expiry>_<filled>_<resting>": a leading decimal integer, 0 for what is none. They were
 * printed from a double, which rounds the largest ones to beyond 64 bits. */
static int parse_filled(const char *data, size_t length, uint64_t *ret, Error *reterr) {
        const char *p = memchr(data, '_', length), *end = data + length;
        uint64_t value = 0;

        if (!p || ++p == end || *p == '_')
                return bad(reterr, "its order data has no filled quantums");
        for (; p < end && is_digit(*p); p++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value)) {
                        value = UINT64_MAX;
                        break;
                }
        *ret = value;
        return 0;
}

/* The removal is made of the fields that are known, whatever else the value carries: the key must be the node's. */
static int append_removal(const Indexer__OrderId *stored, ExpiredOrder *ret, Buffer *message) {
        Indexer__SubaccountId subaccount = INDEXER__SUBACCOUNT_ID__INIT;
        Indexer__OrderId id = INDEXER__ORDER_ID__INIT;
        Indexer__OrderRemove removal = INDEXER__ORDER_REMOVE__INIT;
        Indexer__OffChainUpdate update = INDEXER__OFF_CHAIN_UPDATE__INIT;
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;
        int r;

        subaccount.owner = stored->subaccount_id->owner;
        subaccount.number = stored->subaccount_id->number;
        id.subaccount_id = &subaccount;
        id.client_id = stored->client_id;
        id.order_flags = stored->order_flags;
        id.clob_pair_id = stored->clob_pair_id;
        removal.removed_order_id = &id;
        removal.reason = INDEXER__ORDER_REMOVAL_REASON__ORDER_REMOVAL_REASON_INDEXER_EXPIRED;
        removal.removal_status = INDEXER__ORDER_REMOVE__STATUS__ORDER_REMOVAL_STATUS_CANCELED;
        update.update_message_case = INDEXER__OFF_CHAIN_UPDATE__UPDATE_MESSAGE_ORDER_REMOVE;
        update.order_remove = &removal;
        r = order_id_hash(&id, ret->key);
        if (r < 0)
                return r;
        size = indexer__off_chain_update__get_packed_size(&update);
        bytes = malloc(size);
        if (!bytes)
                return -ENOMEM;
        (void) indexer__off_chain_update__pack(&update, bytes);
        return buffer_append(message, bytes, size);
}

int expired_order_read(const char *order, size_t order_length, const char *data, size_t data_length, int64_t cutoff,
                       ExpiredOrder *ret, Buffer *message, Error *reterr) {
        _cleanup_(redis_order_freep) Indexer__RedisOrder *o = NULL;
        _cleanup_buffer_ Buffer bytes = { 0 };
        const Indexer__OrderId *id;
        uint64_t filled = 0;
        int r;

        *ret = (ExpiredOrder){ 0 };
        r = redis_text_decode(order, order_length, &bytes, reterr);
        if (r < 0)
                return r;
        o = indexer__redis_order__unpack(NULL, bytes.length, (const uint8_t *) bytes.data);
        if (!o)
                return bad(reterr, "its value is not a protocol buffer");
        if (!o->order)
                return bad(reterr, "its value has no order");
        id = o->order->order_id;
        if (!id)
                return bad(reterr, "its order has no id");
        /* Vulcan refuses a removal without them, so that it would be sent for ever */
        if (!id->subaccount_id || id->subaccount_id->owner.len == 0)
                return bad(reterr, "its order's id has no subaccount");
        if (o->order->good_til_oneof_case != INDEXER__ORDER__GOOD_TIL_ONEOF_GOOD_TIL_BLOCK)
                return bad(reterr, "its order has no last block");
        if (o->order->good_til_block > cutoff) {
                ret->newer = true;
                return 0;
        }
        r = parse_filled(data, data_length, &filled, reterr);
        if (r < 0)
                return r;
        ret->fully_filled = o->order->quantums <= filled;
        r = append_removal(id, ret, message);
        return r < 0 ? error_set(reterr, ERROR_RETRY, r, "cannot make a message: %s", strerror(-r)) : 0;
}
