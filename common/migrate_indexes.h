#pragma once

/* The optional indexes of sql/indexes: built without blocking those who write, outside of any transaction. */

#include "common/postgres.h"

typedef enum IndexOutcome { INDEX_PRESENT, INDEX_BUILT, INDEX_REBUILT } IndexOutcome;
const char *index_outcome_to_string(IndexOutcome outcome); /* "present", "built", "rebuilt" */

/* Called behind each index. */
typedef void (*IndexCallback)(const char *name, IndexOutcome outcome, void *userdata);

/* Builds what is missing; an index that an interrupted build left invalid is dropped and built anew. `conn` and `guard`
 * are connections to the primary: guard keeps an advisory lock in a transaction meanwhile, because CREATE INDEX
 * CONCURRENTLY cannot be in one. Held by another: -EBUSY. Those built before an error stay. */
int migrate_indexes(PgConn *conn, PgConn *guard, CancelToken *token, IndexCallback callback, void *userdata,
                    Error *reterr);
