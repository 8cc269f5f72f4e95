-- One transaction at a time ranks a span ($1), so that an older ranking never replaces a newer one.
SELECT pg_advisory_xact_lock(hashtextextended('roundtable leaderboard ' || $1, 0)), set_config('work_mem', '64MB', true),
       set_config('jit', 'off', true)
