#pragma once

/* Names of the original tool's migrations, without the ".js" that it records behind each. */

#define MIGRATE_ORIGINAL_COUNT 113

extern const char *const migrate_original_names[MIGRATE_ORIGINAL_COUNT];
