#include <inttypes.h>
#include <openssl/evp.h>

#include "common/proto/order_id.h"
#include "common/proto/uuid_v5.h"

int subaccount_uuid(const char *owner, size_t owner_length, uint32_t number, char ret[static UUID_TEXT_SIZE]) {
        _cleanup_buffer_ Buffer name = { 0 };

        (void) buffer_append(&name, owner, owner_length);
        if (buffer_printf(&name, "-%" PRIu32, number) < 0)
                return -ENOMEM;
        return uuid_v5(indexer_uuid_namespace, name.data, name.length, ret);
}

int order_uuid(const Indexer__OrderId *id, char ret[static UUID_TEXT_SIZE]) {
        const Indexer__SubaccountId *s = id->subaccount_id;
        _cleanup_buffer_ Buffer name = { 0 };
        char subaccount[UUID_TEXT_SIZE];
        int r;

        if (!s)
                return -EINVAL;
        r = subaccount_uuid((const char *) s->owner.data, s->owner.len, s->number, subaccount);
        if (r < 0)
                return r;
        /* the order book comes before the flags here, and behind them in the message */
        if (buffer_printf(&name, "%s-%" PRIu32 "-%" PRIu32 "-%" PRIu32, subaccount, id->client_id, id->clob_pair_id,
                          id->order_flags) < 0)
                return -ENOMEM;
        return uuid_v5(indexer_uuid_namespace, name.data, name.length, ret);
}

int order_id_hash(const Indexer__OrderId *id, uint8_t ret[static ORDER_ID_HASH_SIZE]) {
        uint8_t small[256], *bytes = small;
        _cleanup_free_ uint8_t *large = NULL;
        size_t size = indexer__order_id__get_packed_size(id);

        if (size > sizeof(small)) {
                bytes = large = malloc(size);
                if (!large)
                        return -ENOMEM;
        }
        size = indexer__order_id__pack(id, bytes);
        return EVP_Digest(bytes, size, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}
