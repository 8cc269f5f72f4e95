-- Empties every table but the bookkeeping of migrations.
DO $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ')
               FROM pg_tables
              WHERE schemaname = current_schema()
                AND tablename NOT IN ('knex_migrations', 'knex_migrations_lock', 'roundtable_migrations'));
END
$$
