#pragma once

/* Brings a database to what sql/migrations describe (design, section 9; Bazooka specification 4.2). Shared by
 * roundtable-admin and, later, Bazooka. */

#include "common/postgres.h"

typedef enum MigrateState {
        MIGRATE_EMPTY,    /* no tables: the baseline is applied */
        MIGRATE_ORIGINAL, /* migrated completely by the original: the baseline is skipped */
        MIGRATE_OURS,     /* baseline recorded in roundtable_migrations */
} MigrateState;

typedef struct MigrateReport {
        MigrateState state;
        size_t applied; /* migrations applied by this call */
        int version;    /* newest migration recorded */
} MigrateReport;

/* Takes the advisory lock and the original tool's is_locked, waiting for the former. Errors (-EBADMSG, ERROR_NEVER):
 * a database with 1–112 of the 113 names, unknown names, foreign tables, or newer than this program: the text lists
 * them and the hint says what to do. is_locked found set: -EBUSY with the remedy. Safe twice and from two hosts. */
int migrate_run(PgConn *conn, CancelToken *token, MigrateReport *ret, Error *reterr);
