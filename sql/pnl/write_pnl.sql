-- update-pnl: the rows of the heights x(1) < ... < x(n) behind the checkpoint x(0), and the checkpoint x(n). Rows are those
-- of n runs of one height each, to the digit (PnL specification, sections 3.2 and 3.3).
--
-- An account has a row at every height from the first one on where it has a row at the height before, or a transfer. Each
-- adds its window's funding, trading and change of the value of its positions, all priced at funding heights.
--
-- $1 bigint    x(0)
-- $2 bigint[]  x(1) ... x(n), ascending
--
-- Returns (what, name, height, count): rows written; rows that were there already; rows that another height's row was in the
-- way of: moved, or kept out; accounts with fills whose fee is no number, which counts as 0.
WITH RECURSIVE heights AS (
    SELECT h.height, h.ord::integer AS ord, max(p."createdAt") AS at
      FROM unnest($2::bigint[]) WITH ORDINALITY AS h (height, ord)
      JOIN funding_payments p ON p."createdAtHeight" = h.height
     GROUP BY h.height, h.ord
), back (height, at, n) AS (
    -- x(0) and the heights before it that are of its instant, looked for only if one behind it is, too
    SELECT $1::bigint, max("createdAt"), 1 FROM funding_payments WHERE "createdAtHeight" = $1::bigint
    UNION ALL
    SELECT before.height, back.at, back.n + 1
      FROM back
     CROSS JOIN LATERAL (SELECT max("createdAtHeight") AS height
                           FROM funding_payments
                          WHERE "createdAtHeight" < back.height) AS before
     WHERE CASE WHEN EXISTS (SELECT FROM heights h WHERE h.at = back.at)
                THEN (SELECT max("createdAt") FROM funding_payments p WHERE p."createdAtHeight" = before.height) = back.at
           END
), moments AS (
    -- several heights of one instant would have the same keys: each is a microsecond later than the one before
    SELECT h.ord, h.height,
           h.at + (row_number() OVER (PARTITION BY h.at ORDER BY h.ord) - 1
                   + CASE WHEN h.at = b.at THEN b.n ELSE 0 END) * interval '1 microsecond' AS at
      FROM heights h
     CROSS JOIN (SELECT at, max(n) AS n FROM back GROUP BY at) AS b
), payments AS (
    SELECT p."subaccountId" AS account, h.ord, sum(p.payment) AS funding, sum(p.size * p."oraclePrice") AS value
      FROM (SELECT 0 AS ord, $1::bigint AS height UNION ALL SELECT ord, height FROM heights) AS h
      JOIN funding_payments p ON p."createdAtHeight" = h.height
     GROUP BY p."subaccountId", h.ord
), moves AS (
    SELECT leg.account, width_bucket(t."createdAtHeight" - 1, $2::bigint[]) + 1 AS ord, sum(leg.size) AS size
      FROM transfers t
     CROSS JOIN LATERAL (VALUES (t."recipientSubaccountId", t.size), (t."senderSubaccountId", -t.size)) AS leg (account, size)
     WHERE t."createdAtHeight" > $1::bigint
       AND t."createdAtHeight" <= ($2::bigint[])[cardinality($2::bigint[])]
       AND leg.account IS NOT NULL
     GROUP BY 1, 2
), trades AS (
    SELECT account, ord, sum(quote) - coalesce(sum(CASE WHEN usable THEN fee::numeric END), 0) AS cash,
           count(*) FILTER (WHERE NOT usable) AS unusable
      FROM (SELECT "subaccountId" AS account, width_bucket("createdAtHeight" - 1, $2::bigint[]) + 1 AS ord,
                   CASE side WHEN 'SELL' THEN "quoteAmount" ELSE -"quoteAmount" END AS quote, fee,
                   -- what the cast takes, but for NaN and infinity, which would stay in the account's sums for ever
                   fee ~ '^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?\s*$' AS usable
              FROM fills
             WHERE "createdAtHeight" > $1::bigint
               AND "createdAtHeight" <= ($2::bigint[])[cardinality($2::bigint[])]) AS f
     GROUP BY account, ord
), before AS (
    SELECT DISTINCT ON ("subaccountId") "subaccountId" AS account, "totalPnl", "netTransfers"
      FROM pnl
     WHERE "createdAtHeight" = $1::bigint
     ORDER BY "subaccountId", "createdAt" DESC
), members AS (
    SELECT account, min(ord) AS first
      FROM (SELECT account, 1 AS ord FROM before UNION ALL SELECT account, ord FROM moves) AS t
     GROUP BY account
), sums AS (
    SELECT m.account, h.height, h.at,
           sum(coalesce(b."totalPnl", 0) + coalesce(e.funding, 0) + (coalesce(e.value, 0) - coalesce(s.value, 0))
               + coalesce(t.cash, 0)) OVER w AS total,
           sum(coalesce(b."netTransfers", 0) + coalesce(v.size, 0)) OVER w AS net
      FROM members m
      JOIN moments h ON h.ord >= m.first
      LEFT JOIN before b ON b.account = m.account AND h.ord = 1
      LEFT JOIN payments e ON e.account = m.account AND e.ord = h.ord
      LEFT JOIN payments s ON s.account = m.account AND s.ord = h.ord - 1
      LEFT JOIN moves v ON v.account = m.account AND v.ord = h.ord
      LEFT JOIN trades t ON t.account = m.account AND t.ord = h.ord
    WINDOW w AS (PARTITION BY m.account ORDER BY h.ord)
), wanted AS MATERIALIZED (
    SELECT account, height, at, total, net FROM sums
), written AS (
    INSERT INTO pnl ("subaccountId", "createdAt", "createdAtHeight", equity, "netTransfers", "totalPnl")
    SELECT account, at, height, total + net, net, total
      FROM wanted
     ORDER BY height, account
    ON CONFLICT DO NOTHING
    RETURNING "subaccountId", "createdAtHeight"
), checkpoint AS (
    INSERT INTO persistent_cache (key, value)
    VALUES ('pnlLastProcessedHeight', (($2::bigint[])[cardinality($2::bigint[])])::text)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
), missing AS MATERIALIZED (
    SELECT w.*, EXISTS (SELECT FROM pnl p WHERE p."subaccountId" = w.account AND p."createdAtHeight" = w.height) AS known
      FROM wanted w
      LEFT JOIN written r ON r."subaccountId" = w.account AND r."createdAtHeight" = w.height
     WHERE r."subaccountId" IS NULL AND (SELECT count(*) FROM written) < (SELECT count(*) FROM wanted)
), moved AS (
    -- where another height's row is in the way: in the second half of the millisecond, where the shifts above do not get
    -- to, one behind the other
    INSERT INTO pnl ("subaccountId", "createdAt", "createdAtHeight", equity, "netTransfers", "totalPnl")
    SELECT m.account, place.at, m.height, m.total + m.net, m.net, m.total
      FROM (SELECT *, date_trunc('milliseconds', at) AS base,
                   row_number() OVER (PARTITION BY account, date_trunc('milliseconds', at) ORDER BY height) - 1 AS n
              FROM missing
             WHERE NOT known) AS m
     CROSS JOIN LATERAL (SELECT at
                           FROM (SELECT m.base + (500 + k) * interval '1 microsecond' AS at
                                   FROM generate_series(0, 499) AS k) AS t
                          WHERE NOT EXISTS (SELECT FROM pnl p WHERE p."subaccountId" = m.account AND p."createdAt" = t.at)
                          ORDER BY at
                         OFFSET m.n
                          LIMIT 1) AS place
    ON CONFLICT DO NOTHING
    RETURNING "subaccountId", "createdAtHeight"
)
SELECT 'written' AS what, NULL AS name, NULL::bigint AS height,
       (SELECT count(*) FROM written) + (SELECT count(*) FROM moved) AS n
UNION ALL
SELECT 'known', NULL, NULL, count(*) FROM missing WHERE known
UNION ALL
(SELECT CASE WHEN moved."subaccountId" IS NULL THEN 'clash' ELSE 'moved' END, m.account::text, m.height, 1
   FROM missing m
   LEFT JOIN moved ON moved."subaccountId" = m.account AND moved."createdAtHeight" = m.height
  WHERE NOT m.known
  ORDER BY m.height, m.account)
UNION ALL
(SELECT 'fee', account::text, NULL, sum(unusable)::bigint
   FROM trades
  WHERE unusable > 0
  GROUP BY account
  ORDER BY account)
