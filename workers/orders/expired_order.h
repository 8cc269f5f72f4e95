#pragma once

/* What becomes of one member of v4/orderExpiry: a pure function of what Redis says about the order (orders
 * specification, section 4). No shared state. */

#include "common/error.h"
#include "common/proto/order_id.h"
#include "common/util.h"

typedef struct ExpiredOrder {
        bool newer;        /* it was replaced by one that lives longer: nothing to send */
        bool fully_filled; /* counted; the message is sent all the same */
        uint8_t key[ORDER_ID_HASH_SIZE];
} ExpiredOrder;

/* `order` is the value of v4/orders/<uuid>, `data` that of v4/orderData/<uuid>, `cutoff` the last block up to which
 * orders have expired. Appends the message (an OffChainUpdate with a removal) to `message` unless the order is newer.
 * -EILSEQ or -EBADMSG with a text for values from which no right message can be made; -ENOMEM, -EIO. On failure
 * `message` is left as it was. */
int expired_order_read(const char *order, size_t order_length, const char *data, size_t data_length, int64_t cutoff,
                       ExpiredOrder *ret, Buffer *message, Error *reterr);
