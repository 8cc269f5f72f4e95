-- Rewards of every fourth taker, in the block of its fill. $1 seed.
INSERT INTO trading_rewards (id, address, "blockTime", "blockHeight", amount)
SELECT md5('reward ' || f.id)::uuid, s.address, f."createdAt", f."createdAtHeight", round(f."quoteAmount" * 0.0000123456789, 18)
  FROM fills AS f
  JOIN subaccounts AS s ON s.id = f."subaccountId"
 WHERE f.liquidity = 'TAKER' AND hashtextextended(f.id::text, $1::bigint) & 3 = 0
