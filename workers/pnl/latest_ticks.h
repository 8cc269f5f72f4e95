#pragma once

/* The hash v4/latest-accounts-pnl-tick: the latest tick of each subaccount, which create_pnl_ticks writes and both our
 * tasks and the original's read (PnL specification, section 1.6). It can be as large as the exchange: it is read in
 * pages. */

#include "common/clock.h"
#include "workers/task.h"

#define LATEST_TICKS_KEY "v4/latest-accounts-pnl-tick"
#define LATEST_TICKS_PAGE 5000

typedef struct LatestTick {
        int64_t height, time_usec, created_usec; /* of the block, its time, and when the tick was made */
} LatestTick;

/* Lower-case text of a UUID; false when `text` is none. */
bool subaccount_id_parse(const char *text, size_t length, char ret[static UUID_TEXT_SIZE]);
/* One value of the hash: JSON with any order of keys, any ISO time and a height as text or number. A missing createdAt
 * is the block's time. -EBADMSG with a text for people, -ENOMEM. */
int latest_tick_parse(const char *value, size_t length, LatestTick *ret, Error *reterr);

/* Called for each usable entry, for some perhaps twice (HSCAN). A negative errno with reterr ends the scan. */
typedef int (*LatestTickCallback)(TaskContext *ctx, const char *subaccount, const LatestTick *tick, void *userdata,
                                  Error *reterr);
/* Entries that cannot be used are reported as failed items. Memory: a page. */
int latest_ticks_scan(TaskContext *ctx, LatestTickCallback callback, void *userdata, Error *reterr);
/* Reports an entry that is left out. */
void latest_tick_unusable(TaskContext *ctx, const char *field, size_t length, const Error *e);
