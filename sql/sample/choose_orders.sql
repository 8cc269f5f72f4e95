-- $2 short-term orders of the first thousand subaccounts at prices near the oracle's, for seed $1. With $3 one in ten has
-- ended more than 20 blocks ago and one in ten less; else all live for some more blocks. What the chain's units are
-- worth: market specification, section 3.
WITH account AS MATERIALIZED (
    SELECT *, row_number() OVER () - 1 AS n
      FROM (SELECT id, address, "subaccountNumber" AS number FROM subaccounts ORDER BY id LIMIT 1000) AS s
), market AS MATERIALIZED (
    SELECT p."clobPairId", p.ticker, p."stepBaseQuantums"::numeric AS step, p."subticksPerTick" AS tick,
           pow(10::numeric, p."atomicResolution") AS quantum,
           pow(10::numeric, p."quantumConversionExponent" - 6 - p."atomicResolution") AS subtick,
           m."oraclePrice" * pow(10::numeric, 6 + p."atomicResolution" - p."quantumConversionExponent") / p."subticksPerTick" AS ticks,
           row_number() OVER (ORDER BY p.id) - 1 AS n
      FROM perpetual_markets AS p
      JOIN markets AS m ON m.id = p."marketId"
     WHERE m."oraclePrice" > 0
), latest AS (
    SELECT max("blockHeight") AS height, (SELECT count(*) FROM account) AS accounts, (SELECT count(*) FROM market) AS markets
      FROM blocks
), chosen AS (
    SELECT k, h, ((h >> 4) & 2147483647) % accounts AS account, ((h >> 12) & 2147483647) % markets AS market, height
      FROM generate_series(1::bigint, $2::bigint) AS k
     CROSS JOIN LATERAL (SELECT hashint8extended(k, $1::bigint) AS h) AS x
     CROSS JOIN latest
), priced AS (
    SELECT c.k, c.h, c.height, a.id AS subaccount, a.address, a.number, p."clobPairId", p.ticker, quantum, subtick,
           step * (1 + ((c.h >> 20) & 255)) AS quantums,
           greatest(1, floor(ticks * (0.995 + ((c.h >> 32) & 1023) / 102400.0))) * tick AS subticks
      FROM chosen AS c
      JOIN account AS a ON a.n = c.account
      JOIN market AS p ON p.n = c.market
)
SELECT subaccount, address, number, h & 4294967295, "clobPairId", ticker, CASE WHEN h & 1 = 0 THEN 'BUY' ELSE 'SELL' END,
       trunc(quantums), trunc(subticks), trim_scale(quantums * quantum), trim_scale(subticks * subtick),
       height + CASE WHEN $3::boolean AND k % 10 = 0 THEN -21 - (h & 63) WHEN $3::boolean AND k % 10 = 1 THEN -1 - (h & 15)
                     ELSE 3 + (h & 15) END
  FROM priced
 ORDER BY k
