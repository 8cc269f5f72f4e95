-- $3 trades over the 25 hours before $1, a taker's and a maker's fill each. Low market ids trade most (the
-- square of a uniform number picks the market), and one trade in 33 is of a kind that statistics leave out. $2 seed, $4
-- markets, $5 subaccounts.
WITH market AS MATERIALIZED (
    SELECT p.id, m."oraclePrice"::float8 AS price, greatest(-m.exponent - 3, 2) AS price_digits,
           pow(10::numeric, p."atomicResolution" + 6) AS step, greatest(-p."atomicResolution" - 6, 0) AS size_digits
      FROM perpetual_markets AS p
      JOIN markets AS m ON m.id = p."marketId"
), account AS MATERIALIZED (
    SELECT n, md5('subaccount ' || n)::uuid AS id FROM generate_series(0::bigint, $5::bigint - 1) AS n
), trade AS (
    SELECT k, 18000 * (k - 1) / $3::bigint AS block,
           floor($4::float8 * pow((h & 1048575) / 1048576.0::float8, 2))::bigint AS market,
           ((h >> 20) & 1048575) / 1048576.0::float8 AS a, ((h >> 40) & 1048575) / 1048576.0::float8 AS b,
           h & 1 = 0 AS buys, abs(h % 100) AS kind, ((h >> 7) & 2147483647) % $5::bigint AS one,
           ((h >> 17) & 2147483647) % $5::bigint AS other
      FROM generate_series(1::bigint, $3::bigint) AS k
     CROSS JOIN LATERAL (SELECT hashint8extended(k, $2::bigint) AS h) AS x
), priced AS MATERIALIZED (
    SELECT t.k, t.buys, t.kind, t.one, t.other, m.id AS perpetual, 10000000 + block AS height,
           int4send((10000000 + block)::integer) || '\x0000000000000000'::bytea AS event,
           $1::timestamptz - interval '25 hours' + block * interval '5 seconds' AS time,
           upper(md5('transaction ' || k) || md5('hash ' || k)) AS transaction,
           round((m.price * (0.97 + 0.06 * a))::numeric, price_digits) AS price,
           round((500 * pow(b, 3) / m.price)::numeric + step, size_digits) AS size
      FROM trade AS t
      JOIN market AS m ON m.id = t.market
)
INSERT INTO fills (id, "subaccountId", side, liquidity, type, "clobPairId", size, price, "quoteAmount", "eventId",
                   "transactionHash", "createdAt", "createdAtHeight", fee)
SELECT md5('fill ' || k || liquidity)::uuid, account.id,
       CASE WHEN buys = taker THEN 'BUY' ELSE 'SELL' END, liquidity,
       CASE kind WHEN 0 THEN CASE WHEN taker THEN 'LIQUIDATED' ELSE 'LIQUIDATION' END
                 WHEN 1 THEN CASE WHEN taker THEN 'DELEVERAGED' ELSE 'OFFSETTING' END
                 WHEN 2 THEN CASE WHEN taker THEN 'TWAP_SUBORDER' ELSE 'LIMIT' END
                 ELSE 'LIMIT' END,
       perpetual, size, price, price * size, event, transaction, time, height,
       round(price * size * rate, 6)::text
  FROM priced
 CROSS JOIN (VALUES ('TAKER', true, 0.0005), ('MAKER', false, -0.00011)) AS l (liquidity, taker, rate)
  JOIN account ON account.n = CASE WHEN taker THEN one ELSE other END
