-- The latest tick of every subaccount that has one at the block times $1: field and value for Redis (PnL specification,
-- section 1.6). Not the tick of that time itself: what is in Redis must not become older.
SELECT s.id, '{"totalPnl":"' || t."totalPnl" || '","netTransfers":"' || t."netTransfers" || '","subaccountId":"' || s.id ||
       '","createdAt":"' || to_char(t."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","equity":"' || t.equity ||
       '","blockHeight":"' || t."blockHeight" || '","blockTime":"' || to_char(t."blockTime", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') ||
       '"}'
  FROM (SELECT DISTINCT "subaccountId" AS id FROM pnl_ticks WHERE "blockTime" = ANY ($1::timestamptz[])) AS s
 CROSS JOIN LATERAL (SELECT * FROM pnl_ticks WHERE "subaccountId" = s.id ORDER BY "createdAt" DESC LIMIT 1) AS t
