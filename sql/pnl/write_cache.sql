-- $1 text  key
-- $2 text  value
INSERT INTO persistent_cache (key, value)
VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
