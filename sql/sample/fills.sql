-- $3 trades over the 25 hours before $1, a taker's and a maker's fill each. Low market ids trade most (the
-- square of a uniform number picks the market), and one trade in 33 is of a kind that statistics leave out. $2 seed, $4
-- markets, $5 subaccounts.
WITH trade AS (
    SELECT k, 18000 * (k - 1) / $3::bigint AS block,
           floor($4::float8 * pow((h & 1048575) / 1048576.0::float8, 2))::bigint AS market,
           ((h >> 20) & 1048575) / 1048576.0::float8 AS a, ((h >> 40) & 1048575) / 1048576.0::float8 AS b,
           h & 1 = 0 AS buys, abs(h % 100) AS kind, (h >> 7) & 2147483647 AS one, (h >> 17) & 2147483647 AS other
      FROM generate_series(1::bigint, $3::bigint) AS k
     CROSS JOIN LATERAL (SELECT hashint8extended(k, $2::bigint) AS h) AS x
), priced AS (
    SELECT t.*, p.id AS perpetual, 10000000 + block AS height,
           round((m."oraclePrice"::float8 * (0.97 + 0.06 * a))::numeric, greatest(-m.exponent - 3, 2)) AS price,
           round((500 * pow(b, 3) / m."oraclePrice"::float8)::numeric + pow(10::numeric, p."atomicResolution" + 6),
                 greatest(-p."atomicResolution" - 6, 0)) AS size
      FROM trade AS t
      JOIN perpetual_markets AS p ON p.id = t.market
      JOIN markets AS m ON m.id = p."marketId"
)
INSERT INTO fills (id, "subaccountId", side, liquidity, type, "clobPairId", size, price, "quoteAmount", "eventId",
                   "transactionHash", "createdAt", "createdAtHeight", fee)
SELECT md5('fill ' || k || liquidity)::uuid,
       md5('subaccount ' || (CASE WHEN taker THEN one ELSE other END) % $5::bigint)::uuid,
       CASE WHEN buys = taker THEN 'BUY' ELSE 'SELL' END, liquidity,
       CASE kind WHEN 0 THEN CASE WHEN taker THEN 'LIQUIDATED' ELSE 'LIQUIDATION' END
                 WHEN 1 THEN CASE WHEN taker THEN 'DELEVERAGED' ELSE 'OFFSETTING' END
                 WHEN 2 THEN CASE WHEN taker THEN 'TWAP_SUBORDER' ELSE 'LIMIT' END
                 ELSE 'LIMIT' END,
       perpetual, size, price, price * size, int4send(height::integer) || int4send(0) || int4send(0),
       upper(md5('transaction ' || k) || md5('hash ' || k)),
       $1::timestamptz - interval '25 hours' + block * interval '5 seconds', height,
       round(price * size * CASE WHEN taker THEN 0.0005 ELSE -0.00011 END, 6)::text
  FROM priced
 CROSS JOIN (VALUES ('TAKER', true), ('MAKER', false)) AS l (liquidity, taker)
