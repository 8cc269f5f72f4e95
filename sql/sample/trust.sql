-- For the sample's transaction: memory to build indexes in, and, for a superuser, no checks of foreign keys. The rows are
-- made to fit, and checking 200,000 fills against three tables takes longer than making them. No nested loops: within the
-- transaction nothing is known of the new rows, and a loop over 800,000 fills costs minutes where a hash join takes a second.
SELECT set_config('maintenance_work_mem', '256MB', true), set_config('work_mem', '64MB', true),
       set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true),
       CASE WHEN current_setting('is_superuser') = 'on' THEN set_config('session_replication_role', 'replica', true) END
