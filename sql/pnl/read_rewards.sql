-- Rewards of an interval by address.
--
-- $1 timestamptz  start, included
-- $2 timestamptz  end, not included
SELECT address, sum(amount) AS amount
  FROM trading_rewards
 WHERE "blockTime" >= $1::timestamptz AND "blockTime" < $2::timestamptz
 GROUP BY address
 ORDER BY address
