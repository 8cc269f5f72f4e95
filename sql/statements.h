#pragma once

/* Every statement of sql/<family>/<file>.sql as `sql_<family>_<file>`; listed in sql/meson.build, embedded by
 * sql/embed.py. */

#include "common/postgres.h"

extern const SqlStatement sql_market_read_markets;
extern const SqlStatement sql_market_read_statistics;
extern const SqlStatement sql_market_update_markets;
