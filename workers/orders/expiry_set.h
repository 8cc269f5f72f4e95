#pragma once

/* Members of v4/orderExpiry that are due, page after page, with what Redis says about their orders (orders
 * specification, sections 3.2 and 4). One round trip a page, whatever was removed or added meanwhile; a page is all
 * that is in memory. */

#include "workers/task.h"

typedef struct ExpirySet ExpirySet;

/* What Redis has about a member. Borrowed until the next call for a page. */
typedef struct ExpiryEntry {
        const char *id; /* NUL-terminated, but may hold any byte */
        size_t id_length;
        const redisReply *order, *data; /* of type string, or nil */
} ExpiryEntry;

/* Members with scores up to `cutoff`. 0 or -ENOMEM. */
int expiry_set_new(int64_t cutoff, size_t page_size, ExpirySet **ret);
ExpirySet *expiry_set_free(ExpirySet *s);
DEFINE_CLEANUP(ExpirySet, expiry_set_free)

/* Reads the next page, by ascending score and member. Returns its number of entries (0: there are no more), or a
 * negative errno with reterr. Can go on in another slice of a run. */
int expiry_set_next(TaskContext *ctx, ExpirySet *s, Error *reterr);
ExpiryEntry expiry_set_entry(const ExpirySet *s, size_t i);
/* Members due when the last page was read, from the first one on. */
uint64_t expiry_set_due(const ExpirySet *s);

typedef struct ExpiryOrphans {
        int64_t removed; /* 0 in a dry run */
        size_t foreign;  /* entries whose order's key exists, but is not of type string (0 in a dry run) */
} ExpiryOrphans;

/* Removes those of the page's entries from the set whose order does not exist, in one script: an order that was placed
 * since the page was read keeps its member. `indices` are of entries; on success the first ret->foreign of them are
 * those whose key holds what is no order. 0 or a negative errno with reterr. */
int expiry_set_remove_orphans(TaskContext *ctx, const ExpirySet *s, size_t *indices, size_t n, ExpiryOrphans *ret,
                              Error *reterr);
