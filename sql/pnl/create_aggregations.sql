-- First rewards of addresses in a period.
--
-- $1 uuid[]       ids
-- $2 text[]       addresses
-- $3 numeric[]    amounts
-- $4 text         period
-- $5 timestamptz  startedAt
-- $6 bigint       startedAtHeight
INSERT INTO trading_reward_aggregations (id, address, "startedAt", "startedAtHeight", period, amount)
SELECT id, address, $5::timestamptz, $6::bigint, $4, amount
  FROM unnest($1::uuid[], $2::text[], $3::numeric[]) AS r (id, address, amount)
