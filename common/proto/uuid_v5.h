#pragma once

/* Name-based UUIDs (RFC 4122 version 5). */

#include "common/clock.h"

/* The namespace of all UUIDs of the indexer (orders specification, section 1.1). */
extern const uint8_t indexer_uuid_namespace[16];

/* SHA-1 over the namespace and the name. ret gets lower-case text with hyphens. 0, or -EIO when libcrypto refuses SHA-1
 * (a FIPS policy). Thread-safe. */
int uuid_v5(const uint8_t name_space[static 16], const void *name, size_t length, char ret[static UUID_TEXT_SIZE]);
