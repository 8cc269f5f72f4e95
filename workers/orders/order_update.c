#include <inttypes.h>

#include "common/json.h"
#include "common/proto/off_chain_updates.pb-c.h"
#include "common/proto/redis_text.h"
#include "workers/orders/order_update.h"

static inline void order_update_free(Indexer__OrderUpdate *u) {
        indexer__order_update__free_unpacked(u, NULL);
}
DEFINE_CLEANUP(Indexer__OrderUpdate, order_update_free)

static void append_id(Buffer *b, const Indexer__OrderId *id) {
        const Indexer__SubaccountId *s = id->subaccount_id;

        (void) buffer_append_string(b, "\"orderId\":{");
        if (s) {
                (void) buffer_append_string(b, "\"subaccountId\":{\"owner\":");
                (void) json_append_string(b, (const char *) s->owner.data, s->owner.len);
                (void) buffer_printf(b, ",\"number\":%" PRIu32 "},", s->number);
        }
        (void) buffer_printf(b, "\"clientId\":%" PRIu32 ",\"orderFlags\":%" PRIu32 ",\"clobPairId\":%" PRIu32 "},",
                             id->client_id, id->order_flags, id->clob_pair_id);
}

int order_update_to_json(const char *value, size_t length, Buffer *ret, Error *reterr) {
        _cleanup_(order_update_freep) Indexer__OrderUpdate *u = NULL;
        _cleanup_buffer_ Buffer bytes = { 0 };
        int r;

        r = redis_text_decode(value, length, &bytes, reterr);
        if (r < 0)
                return r;
        u = indexer__order_update__unpack(NULL, bytes.length, (const uint8_t *) bytes.data);
        if (!u)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "its value is not a protocol buffer");
        (void) buffer_append_string(ret, "{");
        if (u->order_id)
                append_id(ret, u->order_id);
        /* a string: readers of JSON may know numbers as doubles only */
        if (buffer_printf(ret, "\"totalFilledQuantums\":\"%" PRIu64 "\"}", u->total_filled_quantums) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        return 0;
}
