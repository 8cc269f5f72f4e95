-- For the sample's transaction: memory to build indexes in, and, for a superuser, no checks of foreign keys. The rows are
-- made to fit, and checking 200,000 fills against three tables takes longer than making them.
SELECT set_config('maintenance_work_mem', '256MB', true),
       CASE WHEN current_setting('is_superuser') = 'on' THEN set_config('session_replication_role', 'replica', true) END
