-- One run of a task at a time, whatever became of its lock in Redis; held until the transaction ends.
--
-- $1 text  name of the lock
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))
