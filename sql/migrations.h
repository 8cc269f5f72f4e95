#pragma once

/* sql/migrations/NNNN_name.up.sql in order, embedded by sql/embed.py; ended by a NULL name. */

typedef struct SqlMigration {
        int version;
        const char *name;
        const char *text;
} SqlMigration;

extern const SqlMigration sql_migrations[];
