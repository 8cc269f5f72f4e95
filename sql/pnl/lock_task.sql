-- One run of a task at a time, whatever became of its lock in Redis; and what is good for the statements behind it: compiling
-- them takes longer (1 to 2 s) than it saves, and an hour of 65,000 accounts sorts in 64 MB. All until the transaction ends.
--
-- $1 text  name of the lock
SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true), pg_advisory_xact_lock(hashtextextended($1, 0))
