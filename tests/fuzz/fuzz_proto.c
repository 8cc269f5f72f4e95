/* A value of Redis: what the reader takes is what the encoder writes, and what decodes as an order or an update encodes
 * to something that decodes to the same. */

#include <stdint.h>
#include <stdlib.h>

#include "common/proto/off_chain_updates.pb-c.h"
#include "common/proto/order_id.h"
#include "common/proto/redis_order.pb-c.h"
#include "common/proto/redis_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_equal(const Buffer *b, const uint8_t *data, size_t size) {
        if (b->length != size || (size > 0 && memcmp(b->data, data, size) != 0))
                abort();
}

static void pack(const ProtobufCMessage *m, Buffer *ret) {
        size_t size = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = malloc(size + 1);

        if (!bytes || protobuf_c_message_pack(m, bytes) != size || buffer_append(ret, bytes, size) < 0)
                abort();
}

/* protobuf-c takes an unknown field of number 0, and writes it as what nobody takes. */
static bool has_unknown(const ProtobufCMessage *m) {
        if (m->n_unknown_fields > 0)
                return true;
        for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = m->descriptor->fields + i;
                const char *start = (const char *) m;
                const ProtobufCMessage *sub;

                if (f->type != PROTOBUF_C_TYPE_MESSAGE)
                        continue;
                if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                    *(const uint32_t *) (start + f->quantifier_offset) != f->id)
                        continue;
                sub = *(const ProtobufCMessage *const *) (start + f->offset);
                if (sub && has_unknown(sub))
                        return true;
        }
        return false;
}

static void round_trip(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size) {
        _cleanup_buffer_ Buffer once = { 0 }, twice = { 0 };
        ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, size, data), *again;

        if (!m)
                return;
        pack(m, &once);
        again = protobuf_c_message_unpack(type, NULL, once.length, (const uint8_t *) once.data);
        if (again) {
                pack(again, &twice);
                expect_equal(&twice, (const uint8_t *) once.data, once.length);
                protobuf_c_message_free_unpacked(again, NULL);
        } else if (!has_unknown(m))
                abort();
        protobuf_c_message_free_unpacked(m, NULL);
}

static void identify(const uint8_t *data, size_t size) {
        Indexer__RedisOrder *o = indexer__redis_order__unpack(NULL, size, data);
        uint8_t hash[ORDER_ID_HASH_SIZE];
        char uuid[UUID_TEXT_SIZE];

        if (!o)
                return;
        if (o->order && o->order->order_id) {
                int r = order_uuid(o->order->order_id, uuid);

                if (r != (o->order->order_id->subaccount_id ? 0 : -EINVAL) ||
                    order_id_hash(o->order->order_id, hash) < 0)
                        abort();
        }
        indexer__redis_order__free_unpacked(o, NULL);
}

static void decode(const uint8_t *data, size_t size) {
        round_trip(&indexer__redis_order__descriptor, data, size);
        round_trip(&indexer__order_update__descriptor, data, size);
        round_trip(&indexer__off_chain_update__descriptor, data, size);
        identify(data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buffer_ Buffer bytes = { 0 }, text = { 0 };
        int r;

        r = redis_text_decode(data, size, &bytes, NULL);
        if (r >= 0) {
                if (redis_text_encode(bytes.data, bytes.length, &text) < 0)
                        abort();
                expect_equal(&text, data, size);
                decode((const uint8_t *) bytes.data, bytes.length);
        } else if (r != -EILSEQ || bytes.length > 0)
                abort();
        /* the same as bytes, so that the decoder is not limited to what happens to be such text */
        decode(data, size);
        return 0;
}
