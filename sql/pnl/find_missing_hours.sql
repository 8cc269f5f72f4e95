-- Hours ($1 ms long) behind the one that begins at $2 (ms since 1970) and before that of the latest block, of which
-- blocks exist: begin and first block of each. At most $4 ms back; the block of height $3 is in the hour of $2 or before.
-- An index on blocks.time exists for recent times only, so the block is searched by height: time rises with it. `low` is
-- before the hour and the first block at or above `high` is not, until they are neighbours.
WITH RECURSIVE head AS (
    SELECT "blockHeight" AS height, floor(extract(epoch FROM time) * 1000)::bigint / $1::bigint * $1::bigint AS begins
      FROM blocks ORDER BY "blockHeight" DESC LIMIT 1
), hour AS (
    SELECT h.begins, head.height
      FROM head, generate_series(greatest($2::bigint + $1::bigint, head.begins - $4::bigint / $1::bigint * $1::bigint),
                                 head.begins - $1::bigint, $1::bigint) AS h (begins)
), search (begins, low, high) AS (
    SELECT begins, least($3::bigint, height), height FROM hour
    UNION ALL
    SELECT s.begins, CASE WHEN b.later THEN s.low ELSE m.middle END, CASE WHEN b.later THEN m.middle ELSE s.high END
      FROM search AS s
     CROSS JOIN LATERAL (SELECT s.low + (s.high - s.low) / 2 AS middle) AS m
     CROSS JOIN LATERAL (SELECT floor(extract(epoch FROM time) * 1000)::bigint >= s.begins AS later
                           FROM blocks WHERE "blockHeight" >= m.middle ORDER BY "blockHeight" LIMIT 1) AS b
     WHERE s.high - s.low > 1
)
SELECT s.begins, b.height
  FROM search AS s
 CROSS JOIN LATERAL (SELECT "blockHeight" AS height, floor(extract(epoch FROM time) * 1000)::bigint AS ms
                       FROM blocks WHERE "blockHeight" >= s.high ORDER BY "blockHeight" LIMIT 1) AS b
 WHERE s.high - s.low <= 1 AND b.ms >= s.begins AND b.ms < s.begins + $1::bigint
 ORDER BY s.begins
