-- Notes where an hour of ticks goes on, unless a later hour's is noted; what is spoilt, or of an hour that has not begun
-- (left over from another chain), gives way.
-- $1 text  value: ms since 1970 of the hour, 15 digits, a blank, and the rest
INSERT INTO persistent_cache (key, value)
VALUES ('createPnlTicksRest', $1)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
 WHERE CASE WHEN persistent_cache.value ~ '^[0-9]{15} '
            THEN left(persistent_cache.value, 15)::bigint <= left(excluded.value, 15)::bigint
              OR left(persistent_cache.value, 15)::bigint >
                 (SELECT extract(epoch FROM time) * 1000 FROM blocks ORDER BY "blockHeight" DESC LIMIT 1)
            ELSE true
       END
