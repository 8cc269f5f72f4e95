-- An hour of ticks is complete: nothing is left of it or of those before it, see write_tick_rest.sql.
-- $1 bigint  ms since 1970 of the hour
DELETE FROM persistent_cache
 WHERE key = 'createPnlTicksRest'
   AND CASE WHEN value ~ '^[0-9]{15} '
            THEN left(value, 15)::bigint <= $1::bigint
              OR left(value, 15)::bigint > (SELECT extract(epoch FROM time) * 1000 FROM blocks ORDER BY "blockHeight" DESC LIMIT 1)
            ELSE true
       END
