#pragma once

/* Removals for Vulcan on their way to Kafka: gathered up to kafka.max_batch_size bytes of keys and values, as the
 * original's batch helper does (runtime specification, section 10.4). What it holds is bounded by that size. */

#include "workers/orders/expired_order.h"
#include "workers/task.h"

typedef struct RemovalBatch {
        Buffer bytes; /* key and value of each message, one behind the other */
        size_t *ends; /* of each message in `bytes` */
        size_t n, allocated;
        int64_t delivered; /* acknowledged messages of all batches */
} RemovalBatch;

void removal_batch_done(RemovalBatch *b);
#define _cleanup_removal_batch_ _cleanup_(removal_batch_done)

/* Adds a message, before which a batch that it does not fit in is sent. */
int removal_batch_add(TaskContext *ctx, RemovalBatch *b, const uint8_t key[static ORDER_ID_HASH_SIZE],
                      const void *value, size_t length, Error *reterr);
/* Sends what is there and waits for the acknowledgements. An empty batch is measured and nothing else. */
int removal_batch_send(TaskContext *ctx, RemovalBatch *b, Error *reterr);
