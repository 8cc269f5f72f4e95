-- One step of the live feed: rewards of the takers of the latest block, a transfer, and, with $1, a funding index update of
-- every market.
WITH block AS (
    SELECT b."blockHeight" AS height, b.time, e.id AS event
      FROM blocks AS b
      JOIN tendermint_events AS e ON e."blockHeight" = b."blockHeight"
     ORDER BY b."blockHeight" DESC
     LIMIT 1
), rewarded AS (
    INSERT INTO trading_rewards (id, address, "blockTime", "blockHeight", amount)
    SELECT gen_random_uuid(), s.address, block.time, block.height, sum(round(f."quoteAmount" * 0.0000123456789, 18))
      FROM block
      JOIN fills AS f ON f."createdAtHeight" = block.height AND f.liquidity = 'TAKER'
      JOIN subaccounts AS s ON s.id = f."subaccountId"
      JOIN wallets AS w ON w.address = s.address
     GROUP BY s.address, block.time, block.height
), moved AS (
    INSERT INTO transfers (id, "recipientSubaccountId", "senderWalletAddress", "assetId", size, "eventId", "transactionHash",
                           "createdAt", "createdAtHeight")
    SELECT gen_random_uuid(), s.id, s.address, '0', round((10 + 90 * random())::numeric, 2), event, upper(md5('feed ' || height)),
           time, height
      FROM block
     CROSS JOIN (SELECT s.id, s.address FROM subaccounts AS s JOIN wallets AS w ON w.address = s.address
                  ORDER BY s.id OFFSET floor(random() * 100) LIMIT 1) AS s
)
INSERT INTO funding_index_updates (id, "perpetualId", "eventId", rate, "oraclePrice", "fundingIndex", "effectiveAt",
                                   "effectiveAtHeight")
SELECT gen_random_uuid(), p.id, event, r.rate, trim_scale(m."oraclePrice"),
       trim_scale(coalesce(u."fundingIndex", 0) + r.rate * m."oraclePrice"), time, height
  FROM block
 CROSS JOIN perpetual_markets AS p
  JOIN markets AS m ON m.id = p."marketId"
 CROSS JOIN LATERAL (SELECT trim_scale(round(((random() - 0.5) * 0.0002)::numeric, 8)) AS rate WHERE p.id IS NOT NULL) AS r
  LEFT JOIN LATERAL (SELECT "fundingIndex" FROM funding_index_updates WHERE "perpetualId" = p.id
                      ORDER BY "effectiveAtHeight" DESC LIMIT 1) AS u ON true
 WHERE $1::boolean
