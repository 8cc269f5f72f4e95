-- One transaction at a time decides which ticks are due and writes them. Later statements see what the one before
-- committed: each has its own snapshot. What they sort and join has the size of an hour's accounts.
SELECT pg_advisory_xact_lock(hashtextextended('roundtable create_pnl_ticks', 0)), set_config('work_mem', '64MB', true),
       set_config('jit', 'off', true)
