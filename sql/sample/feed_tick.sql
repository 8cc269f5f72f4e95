-- One step of the live feed: a block now, prices of a fifth of the markets moved by up to 0.1 %, and $1 trades at the
-- latest prices. Returns the height and how many fills were made.
WITH last AS (
    SELECT "blockHeight" + 1 AS height FROM blocks ORDER BY "blockHeight" DESC LIMIT 1
), block AS (
    INSERT INTO blocks ("blockHeight", time) SELECT height, now() FROM last RETURNING "blockHeight" AS height
), event AS (
    INSERT INTO tendermint_events (id, "blockHeight", "transactionIndex", "eventIndex")
    SELECT int4send(height::integer) || int4send(0) || int4send(0), height, 0, 0 FROM block
    RETURNING id, "blockHeight" AS height
), market AS MATERIALIZED (
    SELECT p.id, p."marketId", p."atomicResolution", m.exponent, o.price, row_number() OVER (ORDER BY p.id) AS position,
           count(*) OVER () AS n
      FROM perpetual_markets AS p
      JOIN markets AS m ON m.id = p."marketId"
      JOIN LATERAL (SELECT price FROM oracle_prices WHERE "marketId" = m.id
                     ORDER BY "effectiveAtHeight" DESC LIMIT 1) AS o ON true
     WHERE o.price > 0
), moved AS (
    INSERT INTO oracle_prices (id, "marketId", price, "effectiveAt", "effectiveAtHeight")
    SELECT gen_random_uuid(), m."marketId",
           round((m.price::float8 * (1 + 0.002 * (random() - 0.5)))::numeric, greatest(-m.exponent, 0)), now(), height
      FROM market AS m, block
     WHERE (m.id + height) % 5 = 0
    RETURNING "marketId", price
), repriced AS (
    UPDATE markets SET "oraclePrice" = moved.price FROM moved WHERE markets.id = moved."marketId"
), trade AS MATERIALIZED (
    SELECT k, 1 + floor(pow(random(), 2) * (SELECT max(n) FROM market))::bigint AS position, random() AS a, random() < 0.5 AS buys
      FROM generate_series(1, $1::integer) AS k
), account AS MATERIALIZED (
    SELECT id, row_number() OVER () AS n FROM (SELECT id FROM subaccounts ORDER BY id LIMIT 200) AS s
), made AS (
    INSERT INTO fills (id, "subaccountId", side, liquidity, type, "clobPairId", size, price, "quoteAmount", "eventId",
                       "transactionHash", "createdAt", "createdAtHeight", fee)
    SELECT gen_random_uuid(), account.id, CASE WHEN buys = taker THEN 'BUY' ELSE 'SELL' END, liquidity, 'LIMIT', p."clobPairId",
           s.size, m.price, m.price * s.size, event.id, upper(md5(event.height || ' ' || k) || md5('feed ' || k)), now(),
           event.height, round(m.price * s.size * CASE WHEN taker THEN 0.0005 ELSE -0.00011 END, 6)::text
      FROM trade
      JOIN market AS m USING (position)
      JOIN perpetual_markets AS p ON p.id = m.id
     CROSS JOIN LATERAL (SELECT round((500 * a * a / m.price::float8)::numeric + pow(10::numeric, m."atomicResolution" + 6),
                                      greatest(-m."atomicResolution" - 6, 0)) AS size) AS s
     CROSS JOIN (VALUES ('TAKER', true), ('MAKER', false)) AS l (liquidity, taker)
     CROSS JOIN event
      JOIN account ON account.n = 1 + (k * 7 + CASE WHEN taker THEN 0 ELSE 3 END + event.height) % (SELECT count(*) FROM account)
    RETURNING 1
)
SELECT (SELECT height FROM block), (SELECT count(*) FROM made)
