-- A tick of each subaccount in each of the last 24 hours before the present one, and one 2, 8, 31 and 366 days ago; those of
-- the present hour are due. $1 now, $2 seed. A block is 5 s; its time and height are those of blocks.sql, as far as that
-- goes back.
WITH hour AS (
    SELECT date_trunc('hour', $1::timestamptz) - back AS begins
      FROM (SELECT i * interval '1 hour' FROM generate_series(1, 24) AS i
            UNION ALL
            SELECT i * interval '1 day' FROM unnest('{2,8,31,366}'::integer[]) AS i) AS b (back)
), block AS (
    SELECT 10000000 + n AS height, $1::timestamptz - interval '25 hours' + n * interval '5 seconds' AS time
      FROM hour
     CROSS JOIN LATERAL (SELECT ceil(extract(epoch FROM begins - ($1::timestamptz - interval '25 hours')) / 5)::bigint AS n) AS x
)
INSERT INTO pnl_ticks (id, "subaccountId", equity, "totalPnl", "netTransfers", "createdAt", "blockHeight", "blockTime")
SELECT md5('tick ' || s.id || b.height)::uuid, s.id, round(a.size + pnl, 6), round(pnl, 6), 0, b.time + interval '7 seconds',
       b.height, b.time
  FROM block AS b
 CROSS JOIN subaccounts AS s
  JOIN asset_positions AS a ON a."subaccountId" = s.id AND a."assetId" = '0'
 CROSS JOIN LATERAL (SELECT (hashtextextended(s.id::text, $2::bigint + b.height) % 1000000000)::numeric / 1000000 AS pnl) AS p
 ORDER BY b.time
