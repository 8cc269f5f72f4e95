-- What update-funding-payments and update-pnl would have left two hours ago: the open positions and the accounts with
-- transfers at that height, and both checkpoints. Two heights are due.
WITH at AS (
    SELECT 10016560::bigint AS height
), payment AS (
    INSERT INTO funding_payments ("subaccountId", "createdAt", "createdAtHeight", "perpetualId", ticker, "oraclePrice", size,
                                  side, rate, payment, "fundingIndex")
    SELECT p."subaccountId", u."effectiveAt", u."effectiveAtHeight", p."perpetualId", m.ticker, u."oraclePrice",
           trim_scale(p.size), p.side, u.rate, -p.size * u.rate * u."oraclePrice", u."fundingIndex"
      FROM at
      JOIN funding_index_updates AS u ON u."effectiveAtHeight" = at.height
      JOIN perpetual_positions AS p ON p."perpetualId" = u."perpetualId" AND p.status = 'OPEN'
      JOIN perpetual_markets AS m ON m.id = p."perpetualId"
), pnl AS (
    INSERT INTO pnl ("subaccountId", "createdAt", "createdAtHeight", equity, "netTransfers", "totalPnl")
    SELECT l.account, u.time, at.height, sum(l.size), sum(l.size), 0
      FROM at
     CROSS JOIN (SELECT max("effectiveAt") AS time FROM funding_index_updates WHERE "effectiveAtHeight" = 10016560) AS u
      JOIN transfers AS t ON t."createdAtHeight" <= at.height
     CROSS JOIN LATERAL (VALUES (t."recipientSubaccountId", t.size), (t."senderSubaccountId", -t.size)) AS l (account, size)
     WHERE l.account IS NOT NULL
     GROUP BY l.account, u.time, at.height
)
INSERT INTO persistent_cache (key, value)
SELECT key, height::text
  FROM at
 CROSS JOIN (VALUES ('fundingPaymentsLastProcessedHeight'), ('pnlLastProcessedHeight')) AS k (key)
