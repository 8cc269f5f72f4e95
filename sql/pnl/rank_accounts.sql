-- Addresses by the PnL of their accounts with a tick today (PnL specification, section 7.2). $1 now; $2 days of the span,
-- NULL: since ever; $3 addresses left out. The tick that counts is that of the greatest height; heights rise with
-- "createdAt", by which the index finds them, but for ticks that two services made at once: so the latest 4 are looked at.
WITH account AS MATERIALIZED (
    SELECT s.id, s.address
      FROM subaccounts AS s
     WHERE s."subaccountNumber" % 128 = 0
       AND NOT EXISTS (SELECT FROM unnest($3::text[]) AS x (address) WHERE x.address = s.address)
), span AS MATERIALIZED (
    SELECT date_trunc('day', $1::timestamptz) AS today,
           date_trunc('day', $1::timestamptz) - ($2::integer - 1) * interval '1 day' AS begins
), total AS MATERIALIZED (
    SELECT a.address, sum(t."totalPnl" - coalesce(b."totalPnl", 0)) AS pnl, sum(t.equity) AS equity
      FROM span
     CROSS JOIN account AS a
     CROSS JOIN LATERAL (SELECT "totalPnl", equity
                           FROM (SELECT "totalPnl", equity, "blockHeight", "createdAt" FROM pnl_ticks
                                  WHERE "subaccountId" = a.id AND "createdAt" >= span.today
                                    AND "createdAt" < span.today + interval '1 day'
                                  ORDER BY "createdAt" DESC LIMIT 4) AS latest
                          ORDER BY "blockHeight" DESC, "createdAt" DESC LIMIT 1) AS t
      LEFT JOIN LATERAL (SELECT "totalPnl"
                           FROM (SELECT "totalPnl", "blockHeight", "createdAt" FROM pnl_ticks
                                  WHERE "subaccountId" = a.id AND "createdAt" < span.begins
                                  ORDER BY "createdAt" DESC LIMIT 4) AS latest
                          ORDER BY "blockHeight" DESC, "createdAt" DESC LIMIT 1) AS b ON true
     GROUP BY a.address
), judged AS MATERIALIZED (
    SELECT t.address, t.pnl, t.pnl::text AS pnl_text, t.equity::text AS equity_text,
           CASE WHEN w.address IS NULL THEN 'it has no row in wallets'
                WHEN (t.pnl + t.equity) * 0 <> 0 THEN 'its ticks are not numbers'
                WHEN length(t.pnl::text) > 255 OR length(t.equity::text) > 255 THEN 'its amounts have more than 255 digits'
           END AS failure
      FROM total AS t
      LEFT JOIN wallets AS w ON w.address = t.address
)
SELECT address, pnl_text, equity_text,
       row_number() OVER (PARTITION BY failure IS NULL ORDER BY pnl DESC, address COLLATE "C") AS rank, failure
  FROM judged
