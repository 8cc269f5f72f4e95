-- The next interval of a period: from the processed time, the later one of Redis' and the database's, to the first of the
-- latest block's full minute, the next midnight, and the longest interval (PnL specification, section 6.1).
--
-- $1 text    processed time in Redis
-- $2 text    key of the processed time in persistent_cache
-- $3 text    unit of the period: day, week or month
-- $4 bigint  longest interval in milliseconds
-- $5 timestamptz, $6 bigint  a start of a period whose first block is known, and that block's height; or NULL
WITH source AS (
    SELECT greatest(date_trunc('milliseconds', $1::timestamptz),
                    (SELECT value::timestamptz FROM persistent_cache WHERE key = $2)) AS start,
           (SELECT date_trunc('minute', time) FROM blocks ORDER BY "blockHeight" DESC LIMIT 1) AS latest
), span AS (
    SELECT start, latest, date_trunc($3, start) AS started,
           least(latest, date_trunc('day', start) + interval '1 day', start + $4::bigint * interval '1 millisecond') AS "end"
      FROM source
)
SELECT to_char(start, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS start,
       to_char("end", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "end",
       to_char(started, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started,
       CASE WHEN "end" < start THEN -1 WHEN "end" = start THEN 0 ELSE 1 END AS direction,
       "end" = date_trunc($3, "end") AS closes,
       "end" < latest AS more,
       -- blocks have an index by time for recent times only
       CASE WHEN started = $5::timestamptz THEN $6::bigint
            ELSE (SELECT "blockHeight" FROM blocks WHERE time >= started ORDER BY time, "blockHeight" LIMIT 1)
       END AS started_height,
       CASE WHEN "end" = date_trunc($3, "end")
            THEN (SELECT "blockHeight" - 1 FROM blocks WHERE time >= "end" ORDER BY time, "blockHeight" LIMIT 1)
       END AS ended_height,
       extract(epoch FROM start)::bigint AS start_sec,
       extract(epoch FROM "end")::bigint AS end_sec,
       extract(epoch FROM latest)::bigint AS latest_sec
  FROM span
