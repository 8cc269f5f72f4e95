-- Equity, PnL and net transfers of every subaccount that had a transfer and has no tick in the hour of the block (PnL
-- specification, sections 1.3 to 1.5), all in the snapshot of this statement.
-- $1 height, or NULL: the latest; $2 length of the hour in ms; $3 now; $4 at most so many accounts, $5 and $6 behind this
-- one (whether it had no tick before, id) if the hour begins at $8 (ms since 1970), or NULL; $7 blocks that a funding
-- index is looked for back.
WITH top AS MATERIALIZED (
    SELECT max("blockHeight") AS height FROM blocks
), hour AS MATERIALIZED (
    SELECT b."blockHeight" AS height, b.time, $1::bigint IS NOT NULL AS past,
           $5::boolean IS NOT NULL AND h.n * $2::bigint = $8::bigint AS continued,
           timestamptz 'epoch' + h.n * $2::bigint * interval '1 millisecond' AS begins,
           timestamptz 'epoch' + (h.n + 1) * $2::bigint * interval '1 millisecond' AS ends
      FROM top
      JOIN blocks AS b ON b."blockHeight" = coalesce($1::bigint, top.height)
     CROSS JOIN LATERAL (SELECT floor(extract(epoch FROM b.time) * 1000)::bigint / $2::bigint AS n) AS h
), cached AS MATERIALIZED (
    -- of blocks that the database does not have: left over from another chain
    SELECT DISTINCT ON (c.subaccount) c.*, c.time >= hour.begins AND c.time < hour.ends AS done
      FROM pnl_cached AS c, top, hour
     WHERE c.height <= top.height
     ORDER BY c.subaccount, c.height DESC
), done AS MATERIALIZED (
    SELECT DISTINCT t."subaccountId" AS id
      FROM hour
      JOIN pnl_ticks AS t ON t."blockTime" >= hour.begins AND t."blockTime" < hour.ends
), account AS MATERIALIZED (
    -- The previous tick is the later of what Redis and the table have: an old entry must not count transfers twice. Nothing
    -- but the account is asked for in the look-up, or the planner takes the index on it alone and sorts its history.
    SELECT s.id, s."updatedAtHeight" AS updated, c.tick_id, coalesce(greatest(c.height, t."blockHeight"), 0) AS height,
           greatest(c.created, t."createdAt") AS created, c.height IS NULL AND t."blockHeight" IS NULL AS new,
           CASE WHEN t."blockHeight" >= coalesce(c.height, 0) THEN t.equity END AS equity,
           CASE WHEN t."blockHeight" >= coalesce(c.height, 0) THEN t."totalPnl" END AS total
      FROM hour
     CROSS JOIN subaccounts AS s
      LEFT JOIN cached AS c ON c.subaccount = s.id
      LEFT JOIN LATERAL (SELECT "blockHeight", "blockTime", "createdAt", equity, "totalPnl" FROM pnl_ticks
                          WHERE "subaccountId" = s.id
                          ORDER BY "createdAt" DESC LIMIT 1) AS t ON true
     WHERE NOT EXISTS (SELECT FROM done WHERE done.id = s.id)
       AND c.done IS NOT TRUE
       AND NOT (hour.past AND (coalesce(c.time >= hour.begins, false) OR coalesce(t."blockTime" >= hour.begins, false)))
), moved AS MATERIALIZED (
    -- A transfer to oneself is nothing in the total, and counts as sent in what moved since the previous tick.
    SELECT a.id, sum(l.total) FILTER (WHERE l.usdc) AS total,
           coalesce(sum(l.net) FILTER (WHERE l.usdc AND l.height > a.height), 0) AS net,
           count(*) FILTER (WHERE l.usdc AND l.height > a.height) AS transfers
      FROM account AS a
      JOIN (SELECT l.id, x."createdAtHeight" AS height, x."assetId" = '0' AS usdc, l.total, l.net
              FROM hour
              JOIN transfers AS x ON x."createdAtHeight" <= hour.height
             CROSS JOIN LATERAL (VALUES (x."recipientSubaccountId", x.size,
                                         CASE WHEN x."senderSubaccountId" = x."recipientSubaccountId" THEN 0 ELSE x.size END),
                                        (x."senderSubaccountId", -x.size, -x.size)) AS l (id, total, net)
           ) AS l ON l.id = a.id
     GROUP BY a.id
), chosen AS MATERIALIZED (
    SELECT a.*, m.total AS transferred, m.net, m.transfers, row_number() OVER (ORDER BY a.new, a.id) AS n
      FROM hour
     CROSS JOIN account AS a
      JOIN moved AS m ON m.id = a.id
     WHERE NOT hour.continued OR (a.new, a.id) > ($5::boolean, $6::uuid)
     ORDER BY a.new, a.id
     LIMIT $4::bigint
), held AS MATERIALIZED (
    SELECT DISTINCT ON (p."subaccountId", p."perpetualId") p."subaccountId" AS id, p."perpetualId" AS perpetual, p.size,
           c.updated
      FROM chosen AS c
      JOIN perpetual_positions AS p ON p."subaccountId" = c.id AND p.status = 'OPEN'
     ORDER BY p."subaccountId", p."perpetualId", p."openEventId"
), market AS MATERIALIZED (
    SELECT p.id AS perpetual, p."marketId" AS id, o.price
      FROM hour
     CROSS JOIN perpetual_markets AS p
      LEFT JOIN LATERAL (SELECT price FROM oracle_prices
                          WHERE "marketId" = p."marketId" AND "effectiveAtHeight" <= hour.height
                          ORDER BY "effectiveAtHeight" DESC LIMIT 1) AS o ON true
     WHERE p.id IN (SELECT perpetual FROM held)
), asked AS MATERIALIZED (
    SELECT perpetual, updated AS height FROM held
    UNION
    SELECT market.perpetual, hour.height FROM market, hour
), funding AS MATERIALIZED (
    -- By pieces of $7 blocks, of which two hold all that count: a range alone could not be hashed.
    SELECT DISTINCT ON (a.perpetual, a.height) a.perpetual, a.height, f."fundingIndex" AS index
      FROM asked AS a
     CROSS JOIN (VALUES (0), (1)) AS back (n)
      JOIN funding_index_updates AS f ON f."perpetualId" = a.perpetual
                                     AND f."effectiveAtHeight" / $7::bigint = a.height / $7::bigint - back.n
                                     AND f."effectiveAtHeight" > a.height - $7::bigint AND f."effectiveAtHeight" <= a.height
     ORDER BY a.perpetual, a.height, f."effectiveAtHeight" DESC, f."eventId" DESC
), worth AS MATERIALIZED (
    SELECT h.id, sum(h.size * m.price) AS notional,
           sum(h.size * (coalesce(was.index, 0) - coalesce(current.index, 0))) AS unsettled,
           min(h.perpetual) FILTER (WHERE m.perpetual IS NULL) AS unknown,
           min(m.id) FILTER (WHERE m.price IS NULL) AS unpriced
      FROM hour
     CROSS JOIN held AS h
      LEFT JOIN market AS m ON m.perpetual = h.perpetual
      LEFT JOIN funding AS was ON was.perpetual = h.perpetual AND was.height = h.updated
      LEFT JOIN funding AS current ON current.perpetual = h.perpetual AND current.height = hour.height
     GROUP BY h.id
), usdc AS MATERIALIZED (
    SELECT p."subaccountId" AS id, sum(CASE WHEN p."isLong" THEN p.size ELSE -p.size END) AS size
      FROM chosen AS c
      JOIN asset_positions AS p ON p."subaccountId" = c.id AND p."assetId" = '0'
     GROUP BY p."subaccountId"
), tick AS (
    SELECT c.*, w.unknown, w.unpriced, coalesce(w.notional, 0) + coalesce(usdc.size, 0) + coalesce(w.unsettled, 0) AS now_equity
      FROM chosen AS c
      LEFT JOIN worth AS w ON w.id = c.id
      LEFT JOIN usdc ON usdc.id = c.id
)
INSERT INTO pnl_due (n, new, subaccount, tick_id, created, equity, total, net, height, time, failure, grown, last_equity,
                     last_total)
SELECT t.n, t.new, t.id, CASE WHEN NOT hour.past THEN t.tick_id END,
       CASE WHEN hour.past THEN greatest(date_trunc('milliseconds', hour.time),
                                         date_trunc('milliseconds', t.created) + interval '1 millisecond')
            ELSE $3::timestamptz END,
       round(t.now_equity, 6), round(t.now_equity - t.transferred, 6), round(t.net, 6), hour.height, hour.time,
       CASE WHEN hour.past AND t.updated > hour.height THEN 'changed'
            WHEN t.transferred IS NULL THEN 'it has no transfer of USDC'
            WHEN t.unknown IS NOT NULL THEN format('perpetual market %s, which it has a position in, is unknown', t.unknown)
            WHEN t.unpriced IS NOT NULL THEN format('market %s, which it has a position in, has no oracle price', t.unpriced)
            WHEN (t.now_equity + t.transferred + t.net) * 0 <> 0 THEN 'a price, a position or a transfer of it is not a number'
       END,
       coalesce(t.equity > 0 AND t.now_equity > 2 * t.equity AND round(t.now_equity - t.transferred, 6) >= 10000
                AND t.total < -1000 AND t.transfers = 0, false), t.equity, t.total
  FROM tick AS t, hour
UNION ALL
SELECT NULL, NULL, c.subaccount, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       'v4/latest-accounts-pnl-tick has a tick of it, but it has no transfer', false, NULL, NULL
  FROM cached AS c, hour
 WHERE NOT hour.continued AND NOT hour.past AND NOT c.done
   AND NOT EXISTS (SELECT FROM moved WHERE moved.id = c.subaccount) AND NOT EXISTS (SELECT FROM done WHERE done.id = c.subaccount)
