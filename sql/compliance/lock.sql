-- One transaction at a time for the name $1, on whatever host: a lock in Redis is not exact. It is taken before the
-- statement that reads, whose snapshot then has what the holder before us committed.
SELECT pg_advisory_xact_lock(hashtextextended('roundtable/compliance/' || $1, 0))
