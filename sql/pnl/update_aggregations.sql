-- More rewards of addresses in a period.
--
-- $1 uuid[]     ids
-- $2 numeric[]  what is added
UPDATE trading_reward_aggregations a
   SET amount = a.amount + r.amount
  FROM unnest($1::uuid[], $2::numeric[]) AS r (id, amount)
 WHERE a.id = r.id
