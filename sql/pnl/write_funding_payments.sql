-- update-funding-payments: the payments of the heights x(1) < ... < x(n) behind the checkpoint x(0), and the checkpoint
-- x(n). Rows are those of n runs of one height each, to the digit (PnL specification, sections 2.2 and 2.3).
--
-- A position is the running sum of the net fills of each window (x(i-1), x(i)], begun with the size stored at x(0). It
-- ends where it is zero (a closed position does not hand its scale on), and where its market has no update at a height:
-- there nothing is stored, so what follows begins from nothing and with an index of 0. With $3 markets without an update
-- keep position and index until their next one: each market's windows then lie between its own updates.
--
-- $1 bigint    x(0)
-- $2 bigint[]  x(1) ... x(n), ascending
-- $3 boolean   whether positions and indices are carried over heights at which their market has no update
--
-- Returns (what, name, height, count): rows written; rows that were there already; rows whose key another market's has:
-- moved, or left out; clob pairs of fills without a market; markets whose positions ended for want of an update.
WITH RECURSIVE heights AS (
    SELECT height, ord::integer AS ord
      FROM unnest($2::bigint[]) WITH ORDINALITY AS h (height, ord)
), updates AS MATERIALIZED (
    -- of several for one market and height the last event counts
    SELECT DISTINCT ON (h.ord, u."perpetualId")
           h.ord, h.height, u."perpetualId" AS market, u.rate, u."oraclePrice", u."fundingIndex", u."effectiveAt"
      FROM heights h
      JOIN funding_index_updates u ON u."effectiveAtHeight" = h.height
     ORDER BY h.ord, u."perpetualId", u."eventId" DESC, u.id
), instants AS (
    SELECT ord, max("effectiveAt") AS at FROM updates GROUP BY ord
), back (height, at, n) AS (
    -- x(0) and the heights before it that are of its instant, looked for only if one behind it is, too
    SELECT $1::bigint, max("effectiveAt"), 1 FROM funding_index_updates WHERE "effectiveAtHeight" = $1::bigint
    UNION ALL
    SELECT before.height, back.at, back.n + 1
      FROM back
     CROSS JOIN LATERAL (SELECT max("effectiveAtHeight") AS height
                           FROM funding_index_updates
                          WHERE "effectiveAtHeight" < back.height) AS before
     WHERE CASE WHEN EXISTS (SELECT FROM instants t WHERE t.at = back.at)
                THEN (SELECT max("effectiveAt") FROM funding_index_updates u WHERE u."effectiveAtHeight" = before.height) = back.at
           END
), shifts AS (
    -- several heights of one instant would have the same keys: each is a microsecond later than the one before
    SELECT t.ord, (row_number() OVER (PARTITION BY t.at ORDER BY t.ord) - 1
                   + CASE WHEN t.at = b.at THEN b.n ELSE 0 END) * interval '1 microsecond' AS shift
      FROM instants t
     CROSS JOIN (SELECT at, max(n) AS n FROM back GROUP BY at) AS b
), bounds AS MATERIALIZED (
    -- where the first window of a market begins, and its index there
    SELECT m.market, CASE WHEN $3::boolean THEN coalesce(b.height, 0) ELSE $1::bigint END AS lower, b."fundingIndex",
           m.first
      FROM (SELECT market, min(ord) AS first FROM updates GROUP BY market) AS m
      LEFT JOIN LATERAL (
          -- the second part is looked for only if the first has no row
          SELECT * FROM (SELECT "effectiveAtHeight" AS height, "fundingIndex"
                           FROM funding_index_updates
                          WHERE "effectiveAtHeight" = $1::bigint AND "perpetualId" = m.market
                          ORDER BY "eventId" DESC, id
                          LIMIT 1) AS here
          UNION ALL
          SELECT * FROM (SELECT "effectiveAtHeight", "fundingIndex"
                           FROM funding_index_updates
                          WHERE $3::boolean AND "effectiveAtHeight" < $1::bigint AND "perpetualId" = m.market
                          ORDER BY "effectiveAtHeight" DESC, "eventId" DESC, id
                          LIMIT 1) AS before
          LIMIT 1) AS b ON true
), steps AS MATERIALIZED (
    -- updates with what came before: a chain is a series of updates over which positions live on
    SELECT u.*, u."effectiveAt" + s.shift AS at,
           CASE WHEN $3::boolean THEN 0 ELSE u.ord - u.step END AS chain,
           CASE WHEN $3::boolean THEN coalesce(u.previous, 0) + 1 ELSE u.ord END AS first_window,
           CASE WHEN u.previous IS NULL THEN CASE WHEN $3::boolean OR u.ord = 1 THEN coalesce(b."fundingIndex", 0) ELSE 0 END
                WHEN $3::boolean OR u.previous = u.ord - 1 THEN u.previous_index
                ELSE 0 END AS old
      FROM (SELECT *, row_number() OVER w AS step, lag(ord) OVER w AS previous, lag("fundingIndex") OVER w AS previous_index
              FROM updates
            WINDOW w AS (PARTITION BY market ORDER BY ord)) AS u
      JOIN bounds b ON b.market = u.market
      JOIN shifts s ON s.ord = u.ord
), fills_in_windows AS MATERIALIZED (
    SELECT f."subaccountId" AS account, f."clobPairId" AS pair, m.id AS market, m.ticker,
           width_bucket(f."createdAtHeight" - 1, $2::bigint[]) + 1 AS ord,
           sum(CASE f.side WHEN 'BUY' THEN f.size ELSE -f.size END) AS net, count(*) AS n
      FROM fills f
      LEFT JOIN perpetual_markets m ON m."clobPairId" = f."clobPairId"
      LEFT JOIN bounds b ON b.market = m.id
     WHERE f."createdAtHeight" > (SELECT least($1::bigint, min(lower)) FROM bounds)
       AND f."createdAtHeight" <= ($2::bigint[])[cardinality($2::bigint[])]
       AND f."createdAtHeight" > coalesce(b.lower, $1::bigint)
     GROUP BY 1, 2, 3, 4, 5
), held AS (
    SELECT p."subaccountId" AS account, p."perpetualId" AS market, p.ticker, p.size
      FROM funding_payments p
     WHERE p."createdAtHeight" = $1::bigint AND NOT $3::boolean
    UNION ALL
    SELECT p."subaccountId", p."perpetualId", p.ticker, p.size
      FROM bounds b
      JOIN funding_payments p ON p."createdAtHeight" = b.lower AND p."perpetualId" = b.market
     WHERE $3::boolean
), events AS (
    SELECT account, market, chain, ord, coalesce(max(traded), max(stored)) AS ticker, sum(net) AS net
      FROM (SELECT f.account, s.market, s.chain, s.ord, f.ticker AS traded, NULL AS stored, f.net
              FROM steps s
             CROSS JOIN LATERAL generate_series(s.first_window, s.ord) AS window_ord
              JOIN fills_in_windows f ON f.market = s.market AND f.ord = window_ord
            UNION ALL
            SELECT h.account, s.market, s.chain, s.ord, NULL, h.ticker, h.size
              FROM held h
              JOIN bounds b ON b.market = h.market
              JOIN steps s ON s.market = h.market AND s.ord = CASE WHEN $3::boolean THEN b.first ELSE 1 END) AS t
     GROUP BY account, market, chain, ord
), positions AS MATERIALIZED (
    SELECT account, market, chain, ord, ticker,
           sum(net) OVER (PARTITION BY account, market, chain, zeros ORDER BY ord) AS size,
           lead(ord) OVER (PARTITION BY account, market, chain ORDER BY ord) AS until
      FROM (SELECT *, count(*) FILTER (WHERE size = 0) OVER (PARTITION BY account, market, chain ORDER BY ord
                                                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS zeros
              FROM (SELECT *, sum(net) OVER (PARTITION BY account, market, chain ORDER BY ord) AS size
                      FROM events) AS e) AS e
), wanted AS MATERIALIZED (
    SELECT p.account, s.at, s.height, s.market, p.ticker, s."oraclePrice", p.size,
           CASE WHEN p.size > 0 THEN 'LONG' ELSE 'SHORT' END AS side, s.rate,
           -p.size * (s."fundingIndex" - s.old) AS payment, s."fundingIndex"
      FROM positions p
      JOIN steps s ON s.market = p.market AND s.chain = p.chain
                  AND s.ord >= p.ord AND (p.until IS NULL OR s.ord < p.until)
     WHERE p.size <> 0
), written AS (
    INSERT INTO funding_payments ("subaccountId", "createdAt", "createdAtHeight", "perpetualId", ticker, "oraclePrice",
                                  size, side, rate, payment, "fundingIndex")
    SELECT account, at, height, market, ticker, "oraclePrice", size, side, rate, payment, "fundingIndex"
      FROM wanted
     ORDER BY height, account, market
    ON CONFLICT DO NOTHING
    RETURNING "subaccountId", "createdAtHeight", "perpetualId"
), checkpoint AS (
    INSERT INTO persistent_cache (key, value)
    VALUES ('fundingPaymentsLastProcessedHeight', (($2::bigint[])[cardinality($2::bigint[])])::text)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
), missing AS MATERIALIZED (
    SELECT w.*, EXISTS (SELECT FROM funding_payments p
                         WHERE p."subaccountId" = w.account AND p."createdAtHeight" = w.height
                           AND p."perpetualId" = w.market) AS known
      FROM wanted w
      LEFT JOIN written r ON r."subaccountId" = w.account AND r."createdAtHeight" = w.height
                         AND r."perpetualId" = w.market
     WHERE r."subaccountId" IS NULL AND (SELECT count(*) FROM written) < (SELECT count(*) FROM wanted)
), moved AS (
    -- A row less is a position that begins anew at the next height. Where the key is taken, by another market of that
    -- ticker above all: in the second half of the millisecond, where the shifts above do not get to, one behind the other.
    INSERT INTO funding_payments ("subaccountId", "createdAt", "createdAtHeight", "perpetualId", ticker, "oraclePrice",
                                  size, side, rate, payment, "fundingIndex")
    SELECT m.account, place.at, m.height, m.market, m.ticker, m."oraclePrice", m.size, m.side, m.rate, m.payment,
           m."fundingIndex"
      FROM (SELECT *, date_trunc('milliseconds', at) AS base,
                   row_number() OVER (PARTITION BY account, ticker, date_trunc('milliseconds', at)
                                      ORDER BY height, market) - 1 AS n
              FROM missing
             WHERE NOT known) AS m
     CROSS JOIN LATERAL (SELECT at
                           FROM (SELECT m.base + (500 + k) * interval '1 microsecond' AS at
                                   FROM generate_series(0, 499) AS k) AS t
                          WHERE NOT EXISTS (SELECT FROM funding_payments p
                                             WHERE p."subaccountId" = m.account AND p."createdAt" = t.at
                                               AND p.ticker = m.ticker)
                          ORDER BY at
                         OFFSET m.n
                          LIMIT 1) AS place
    ON CONFLICT DO NOTHING
    RETURNING "subaccountId", "createdAtHeight", "perpetualId"
), ends AS (
    SELECT market, chain, max(ord) AS ord FROM steps GROUP BY market, chain
), holes AS (
    SELECT p.market, e.ord + 1 AS ord
      FROM positions p
      JOIN ends e ON e.market = p.market AND e.chain = p.chain
     WHERE NOT $3::boolean AND p.until IS NULL AND p.size <> 0 AND e.ord < cardinality($2::bigint[])
    UNION ALL
    SELECT h.market, 1
      FROM held h
     WHERE NOT $3::boolean AND NOT EXISTS (SELECT FROM updates u WHERE u.market = h.market AND u.ord = 1)
)
SELECT 'written' AS what, NULL AS name, NULL::bigint AS height,
       (SELECT count(*) FROM written) + (SELECT count(*) FROM moved) AS n
UNION ALL
SELECT 'known', NULL, NULL, count(*) FROM missing WHERE known
UNION ALL
(SELECT CASE WHEN moved."subaccountId" IS NULL THEN 'clash' ELSE 'moved' END, coalesce(m.ticker, missing.market::text),
        missing.height, count(*)
   FROM missing
   LEFT JOIN moved ON moved."subaccountId" = missing.account AND moved."createdAtHeight" = missing.height
                  AND moved."perpetualId" = missing.market
   LEFT JOIN perpetual_markets m ON m.id = missing.market
  WHERE NOT missing.known
  GROUP BY 1, missing.market, m.ticker, missing.height
  ORDER BY missing.height, missing.market)
UNION ALL
(SELECT 'pair', pair::text, NULL, sum(n)::bigint
   FROM fills_in_windows
  WHERE market IS NULL
  GROUP BY pair
  ORDER BY pair)
UNION ALL
(SELECT 'hole', coalesce(m.ticker, holes.market::text), h.height, count(*)
   FROM holes
   JOIN heights h ON h.ord = holes.ord
   LEFT JOIN perpetual_markets m ON m.id = holes.market
  GROUP BY holes.market, m.ticker, h.height
  ORDER BY h.height, holes.market)
