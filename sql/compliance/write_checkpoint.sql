-- Moves the checkpoint $1 to $2, if it still is $3 (null: there was none): 1 row, or somebody else has moved it.
INSERT INTO persistent_cache (key, value) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE persistent_cache.value = $3
