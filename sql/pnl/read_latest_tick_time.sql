-- Block time of the latest ticks, in milliseconds since 1970; NULL without any.
SELECT floor(extract(epoch FROM max("blockTime")) * 1000)::bigint FROM pnl_ticks
