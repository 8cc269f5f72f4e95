-- The next window of the accumulation with the checkpoint $1, default start $2 and longest window $3 (compliance
-- specification, section 5): fills after window_start and up to window_end, which is the time of the latest block in
-- milliseconds. The row of the checkpoint is locked, so that an original's commit is seen or waits.
-- window_start is null where the value is no time; to_start and to_end are texts in the checkpoint's form.
WITH cache AS (
    SELECT value FROM persistent_cache WHERE key = $1 FOR UPDATE
), latest AS (
    SELECT "blockHeight", time FROM blocks ORDER BY "blockHeight" DESC LIMIT 1
), bounds AS (
    SELECT cache.value,
           CASE WHEN cache.value IS NULL THEN $2::timestamptz
                WHEN cache.value ~ '^\s*\d{4}-?\d{2}-?\d{2}(T\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?\s*$'
                THEN replace(cache.value, ',', '.')::timestamptz END AS window_start,
           latest.time
      FROM (VALUES (1)) AS one (row)
      LEFT JOIN cache ON true
      LEFT JOIN latest ON true
), ends AS (
    SELECT *, date_trunc('milliseconds', least(time, window_start + $3::interval)) AS window_end FROM bounds
)
SELECT value, window_start, window_end, time,
       to_char(window_start, 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"') AS from_text,
       to_char(window_end, 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"') AS to_text,
       window_end > window_start AS advances,
       (extract(epoch FROM window_start) * 1000000)::bigint AS start_usec,
       (extract(epoch FROM time) * 1000000)::bigint AS latest_usec,
       (extract(epoch FROM window_end) * 1000000)::bigint AS end_usec
  FROM ends
