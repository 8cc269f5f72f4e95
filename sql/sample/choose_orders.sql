-- $2 short-term orders of the first thousand subaccounts at prices near the oracle's, for seed $1. With $3 one in ten has
-- ended more than 20 blocks ago and one in ten less; else all live for some more blocks. What the chain's units are
-- worth: market specification, section 3.
WITH account AS MATERIALIZED (
    SELECT *, row_number() OVER () - 1 AS n, count(*) OVER () AS total
      FROM (SELECT id, address, "subaccountNumber" AS number FROM subaccounts ORDER BY id LIMIT 1000) AS s
), market AS MATERIALIZED (
    SELECT p.*, m."oraclePrice" AS oracle, row_number() OVER (ORDER BY p.id) - 1 AS n, count(*) OVER () AS total
      FROM perpetual_markets AS p
      JOIN markets AS m ON m.id = p."marketId"
     WHERE m."oraclePrice" > 0
), latest AS (
    SELECT max("blockHeight") AS height FROM blocks
), chosen AS (
    SELECT k, hashint8extended(k, $1::bigint) AS h FROM generate_series(1::bigint, $2::bigint) AS k
), priced AS (
    SELECT c.k, c.h, a.id AS subaccount, a.address, a.number, p."clobPairId", p.ticker, p."atomicResolution" AS resolution,
           p."quantumConversionExponent" - 6 - p."atomicResolution" AS exponent,
           p."stepBaseQuantums"::numeric * (1 + ((c.h >> 20) & 255)) AS quantums,
           greatest(1, floor(p.oracle * (0.995 + ((c.h >> 32) & 1023) / 102400.0) * pow(10::numeric,
               6 + p."atomicResolution" - p."quantumConversionExponent") / p."subticksPerTick")) * p."subticksPerTick" AS subticks
      FROM chosen AS c
      JOIN account AS a ON a.n = ((c.h >> 4) & 2147483647) % a.total
      JOIN market AS p ON p.n = ((c.h >> 12) & 2147483647) % p.total
)
SELECT subaccount, address, number, h & 4294967295, "clobPairId", ticker, CASE WHEN h & 1 = 0 THEN 'BUY' ELSE 'SELL' END,
       trunc(quantums), trunc(subticks), trim_scale(quantums * pow(10::numeric, resolution)),
       trim_scale(subticks * pow(10::numeric, exponent)),
       height + CASE WHEN $3::boolean AND k % 10 = 0 THEN -21 - (h & 63) WHEN $3::boolean AND k % 10 = 1 THEN -1 - (h & 15)
                     ELSE 3 + (h & 15) END
  FROM priced, latest
 ORDER BY k
