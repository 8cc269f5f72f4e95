-- Accounts numbered above $1 up to $2.
INSERT INTO pnl_ticks (id, "subaccountId", equity, "totalPnl", "netTransfers", "createdAt", "blockHeight", "blockTime")
SELECT tick_id, subaccount, equity, total, net, created, height, time
  FROM pnl_due
 WHERE failure IS NULL AND n > $1::bigint AND n <= $2::bigint
 ORDER BY n
