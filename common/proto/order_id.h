#pragma once

/* What is computed from an order's id: its UUID in the indexer's tables and Redis keys, and its key in Kafka (orders
 * specification, section 1). Thread-safe. */

#include "common/clock.h"
#include "common/proto/protocol.pb-c.h"

#define ORDER_ID_HASH_SIZE 32

/* UUID of "<owner>-<number>". 0, -ENOMEM, or -EIO when libcrypto refuses SHA-1. */
int subaccount_uuid(const char *owner, size_t owner_length, uint32_t number, char ret[static UUID_TEXT_SIZE]);
/* UUID of "<subaccount uuid>-<client id>-<clob pair id>-<order flags>"; the id must have its subaccount. The same
 * errors, and -EINVAL without a subaccount. */
int order_uuid(const Indexer__OrderId *id, char ret[static UUID_TEXT_SIZE]);
/* SHA-256 over the protobuf encoding of the id: the key of the node's, Ender's and our messages about the order, which
 * therefore share a partition. 0, -ENOMEM or -EIO. */
int order_id_hash(const Indexer__OrderId *id, uint8_t ret[static ORDER_ID_HASH_SIZE]);
