-- Every subaccount that had a transfer up to the latest block: when its latest tick's block and its last transfer were,
-- in milliseconds since 1970 (PnL specification, section 4). The height of the block comes with each row; one row
-- without a subaccount if there are none, and without a height if there is no block. The tick is that of the greatest
-- height, with which "createdAt" rises.
WITH top AS MATERIALIZED (
    SELECT max("blockHeight") AS height FROM blocks
), moved AS MATERIALIZED (
    SELECT l.id, max(x."createdAt") AS last
      FROM top
     CROSS JOIN transfers AS x
     CROSS JOIN LATERAL (VALUES (x."senderSubaccountId"), (x."recipientSubaccountId")) AS l (id)
     WHERE l.id IS NOT NULL
     GROUP BY l.id
    HAVING bool_or(x."createdAtHeight" <= top.height)
)
SELECT top.height, m.id, t."blockHeight", floor(extract(epoch FROM t."blockTime") * 1000)::bigint,
       floor(extract(epoch FROM m.last) * 1000)::bigint
  FROM top
  LEFT JOIN moved AS m ON true
  LEFT JOIN LATERAL (SELECT "blockHeight", "blockTime" FROM pnl_ticks
                      WHERE "subaccountId" = m.id
                      ORDER BY "createdAt" DESC LIMIT 1) AS t ON true
