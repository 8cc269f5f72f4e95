-- Sets the value of $1 in persistent_cache to $2; null: removes it.
WITH removed AS (
    DELETE FROM persistent_cache WHERE key = $1 AND $2::text IS NULL
)
INSERT INTO persistent_cache (key, value)
SELECT $1, $2::text WHERE $2::text IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
