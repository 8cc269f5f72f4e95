SELECT max("blockTime") FROM pnl_ticks
