-- Notes that the pass $1 has come to the address $2; null: it is over.
WITH over AS (
    DELETE FROM persistent_cache WHERE key = $1 AND $2::text IS NULL
)
INSERT INTO persistent_cache (key, value)
SELECT $1, $2::text WHERE $2::text IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
