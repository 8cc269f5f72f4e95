#pragma once

/* Every statement of sql/<family>/<file>.sql as `sql_<family>_<file>`; listed in sql/meson.build, embedded by
 * sql/embed.py. */

#include "common/postgres.h"

extern const SqlStatement sql_market_read_markets;
extern const SqlStatement sql_market_read_statistics;
extern const SqlStatement sql_market_update_markets;
extern const SqlStatement sql_sample_analyze;
extern const SqlStatement sql_sample_assets;
extern const SqlStatement sql_sample_blocks;
extern const SqlStatement sql_sample_clear;
extern const SqlStatement sql_sample_feed_tick;
extern const SqlStatement sql_sample_fills;
extern const SqlStatement sql_sample_is_empty;
extern const SqlStatement sql_sample_markets;
extern const SqlStatement sql_sample_oracle_prices;
extern const SqlStatement sql_sample_perpetual_markets;
extern const SqlStatement sql_sample_positions;
extern const SqlStatement sql_sample_read_feed_markets;
extern const SqlStatement sql_sample_subaccounts;
extern const SqlStatement sql_sample_tiers;
extern const SqlStatement sql_sample_trust;
