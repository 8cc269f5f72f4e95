-- The end of a period, for all addresses.
--
-- $1 text         period
-- $2 bigint       startedAtHeight
-- $3 timestamptz  endedAt
-- $4 bigint       endedAtHeight
UPDATE trading_reward_aggregations
   SET "endedAt" = $3::timestamptz, "endedAtHeight" = $4::bigint
 WHERE period = $1 AND "startedAtHeight" = $2::bigint
