#pragma once

/* The atomic operations on order books and mid prices (market specification, section 5). The texts are our own: the
 * same effect is what other services rely on. */

#include "common/redis.h"

/* KEYS sizes, times of a side; ARGV price. 1 when the level had size zero and was removed, else 0. */
extern const RedisScript orderbook_script_delete_zero;
/* KEYS sizes and times of the bids, then of the asks; ARGV age in seconds, number of bids, then price and time as it
 * was read of each bid and each ask. All levels of a book at once: of a part of them the next run would make another
 * choice. A 1 for each level that was removed, a 0 for one that is not older than the age, or is not what was read. */
extern const RedisScript orderbook_script_delete_stale;
/* KEYS of mid prices; ARGV a price each, then the time in seconds. Drops prices of a minute ago and before. For each
 * key 1, or the error that it answered with. */
extern const RedisScript orderbook_script_add_mid_prices;
/* KEYS two hashes of a side; ARGV cursor. A page of a hash that is too large to be read at once: the next cursor, then
 * field, its value, and its value in the other hash or nil. */
extern const RedisScript orderbook_script_scan;
