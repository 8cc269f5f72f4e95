-- $3 names of the lists $2 were given: what is written at $1, if it is about these lists, counts them, too.
UPDATE persistent_cache SET value = $2::text || ' ' || split_part(value, ' ', 2)::bigint + $3::bigint
 WHERE key = $1 AND split_part(value, ' ', 1) = $2::text
