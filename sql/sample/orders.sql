-- Twenty orders of each of $3 subaccounts that have ended, or are long-term or conditional: none is both open and
-- short-term. $1 now, $2 seed, $4 markets.
WITH market AS MATERIALIZED (
    SELECT p.id, m."oraclePrice" AS price, p."stepBaseQuantums" * pow(10::numeric, p."atomicResolution") AS step
      FROM perpetual_markets AS p
      JOIN markets AS m ON m.id = p."marketId"
), chosen AS (
    SELECT k, (k - 1) / 20 AS account, hashint8extended(k, $2::bigint) AS h,
           abs(hashint8extended(k + 1, $2::bigint) % $4::bigint) AS market
      FROM generate_series(1::bigint, 20 * $3::bigint) AS k
), shaped AS (
    SELECT c.*, m.id AS perpetual, price, abs(h % 20) AS kind, h & 1 = 0 AS buys, 10000000 + ((h >> 8) & 16383) AS height,
           step * (1 + ((h >> 24) & 1023)) AS size
      FROM chosen AS c
      JOIN market AS m ON m.id = c.market
)
INSERT INTO orders (id, "subaccountId", "clientId", "clobPairId", side, size, "totalFilled", price, type, status, "timeInForce",
                    "reduceOnly", "orderFlags", "goodTilBlock", "goodTilBlockTime", "createdAtHeight", "clientMetadata",
                    "triggerPrice", "updatedAt", "updatedAtHeight", "createdAt")
SELECT md5('order ' || k)::uuid, md5('subaccount ' || account)::uuid, k, perpetual, CASE WHEN buys THEN 'BUY' ELSE 'SELL' END,
       size, CASE WHEN kind < 9 THEN size ELSE 0 END, price, CASE WHEN kind = 19 THEN 'STOP_LIMIT' ELSE 'LIMIT' END,
       CASE WHEN kind < 9 THEN 'FILLED' WHEN kind < 16 THEN 'CANCELED' WHEN kind = 16 THEN 'BEST_EFFORT_CANCELED'
            WHEN kind = 19 THEN 'UNTRIGGERED' ELSE 'OPEN' END,
       CASE WHEN kind % 2 = 0 THEN 'GTT' ELSE 'POST_ONLY' END, false, CASE WHEN kind = 19 THEN 32 WHEN kind >= 17 THEN 64 ELSE 0 END,
       CASE WHEN kind < 17 THEN height + 20 END, CASE WHEN kind >= 17 THEN $1::timestamptz + interval '28 days' END,
       CASE WHEN kind >= 17 THEN height END, 0, CASE WHEN kind = 19 THEN price END,
       $1::timestamptz - interval '25 hours' + (height - 10000000) * interval '5 seconds', height,
       $1::timestamptz - interval '25 hours' + (height - 10000000) * interval '5 seconds'
  FROM shaped
