#pragma once

/* sql/indexes/NAME.sql, embedded by sql/embed.py: indexes that tasks are faster with and never need. Ended by a NULL
 * name. */

typedef struct SqlIndex {
        const char *name; /* of the index and of the file */
        const char *text; /* CREATE INDEX CONCURRENTLY IF NOT EXISTS name … */
} SqlIndex;

extern const SqlIndex sql_indexes[];
