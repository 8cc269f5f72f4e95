-- $3 positions, the k-th of each of $4 subaccounts in turn and in different markets of $5; four of five are open. $1 now,
-- $2 seed.
WITH chosen AS (
    SELECT n, i, hashint8extended(n * 5 + i, $2::bigint) AS h,
           (abs(hashint8extended(n, $2::bigint) % $5::bigint) + i * greatest($5::bigint / 5, 1)) % $5::bigint AS market
      FROM generate_series(0::bigint, least($3::bigint, $4::bigint * least(5, $5::bigint)) - 1) AS k
     CROSS JOIN LATERAL (SELECT k % $4::bigint AS n, k / $4::bigint AS i) AS x
), sized AS (
    SELECT c.*, p.id AS perpetual, m."oraclePrice" AS price, h & 1 = 0 AS long, (n + i) % 5 > 0 AS open,
           10000000 + ((h >> 8) & 16383) AS height,
           round((20000 * pow(((h >> 24) & 65535) / 65536.0::float8, 4) / m."oraclePrice"::float8)::numeric
                 + pow(10::numeric, p."atomicResolution" + 6), greatest(-p."atomicResolution" - 6, 0)) AS size
      FROM chosen AS c
      JOIN perpetual_markets AS p ON p.id = c.market
      JOIN markets AS m ON m.id = p."marketId"
)
INSERT INTO perpetual_positions (id, "subaccountId", "perpetualId", side, status, size, "maxSize", "entryPrice", "exitPrice",
                                 "sumOpen", "sumClose", "createdAt", "closedAt", "createdAtHeight", "closedAtHeight",
                                 "openEventId", "closeEventId", "lastEventId", "settledFunding", "totalRealizedPnl")
SELECT md5('position ' || n || ' ' || i)::uuid, md5('subaccount ' || n)::uuid, perpetual,
       CASE WHEN long THEN 'LONG' ELSE 'SHORT' END, CASE WHEN open THEN 'OPEN' ELSE 'CLOSED' END,
       CASE WHEN NOT open THEN 0 WHEN long THEN size ELSE -size END, CASE WHEN long THEN size ELSE -size END, price,
       CASE WHEN open THEN NULL ELSE price END, size, CASE WHEN open THEN 0 ELSE size END,
       $1::timestamptz - interval '25 hours' + (height - 10000000) * interval '5 seconds',
       CASE WHEN open THEN NULL ELSE $1::timestamptz - interval '1 hour' END, height,
       CASE WHEN open THEN NULL ELSE 10017280 END, int4send(height::integer) || int4send(0) || int4send(0),
       CASE WHEN open THEN NULL ELSE int4send(10017280) || int4send(0) || int4send(0) END,
       int4send(height::integer) || int4send(0) || int4send(0), 0, 0
  FROM sized
