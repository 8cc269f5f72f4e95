-- The checkpoint of update-funding-payments and the heights of the next transaction, ascending.
--
-- $1 bigint  how many heights at most
WITH RECURSIVE checkpoint AS (
    SELECT (SELECT value FROM persistent_cache WHERE key = 'fundingPaymentsLastProcessedHeight') AS value
), start AS (
    SELECT value,
           CASE WHEN value IS NULL THEN 0 WHEN value ~ '^[0-9]{1,18}$' THEN value::bigint END AS height
      FROM checkpoint
), heights AS (
    SELECT (SELECT min("effectiveAtHeight") FROM funding_index_updates WHERE "effectiveAtHeight" > start.height) AS height,
           1 AS n
      FROM start
    UNION ALL
    SELECT (SELECT min("effectiveAtHeight") FROM funding_index_updates WHERE "effectiveAtHeight" > heights.height),
           n + 1
      FROM heights
     WHERE height IS NOT NULL AND n < $1::bigint
)
SELECT value, height, ARRAY(SELECT height FROM heights WHERE height IS NOT NULL ORDER BY height) AS heights,
       (SELECT count(height) FROM heights) AS n, (SELECT max(height) FROM heights) AS last
  FROM start
