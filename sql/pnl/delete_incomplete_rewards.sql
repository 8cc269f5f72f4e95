-- Recovery without a processed time: the latest period that has not ended is built anew (PnL specification, section 6.1).
--
-- $1 text  period
WITH latest AS (
    SELECT "startedAtHeight", "endedAt"
      FROM trading_reward_aggregations
     WHERE period = $1
     ORDER BY "startedAtHeight" DESC, ("endedAt" IS NULL) DESC
     LIMIT 1
)
DELETE FROM trading_reward_aggregations a
 USING latest
 WHERE a.period = $1 AND a."startedAtHeight" >= latest."startedAtHeight" AND latest."endedAt" IS NULL
