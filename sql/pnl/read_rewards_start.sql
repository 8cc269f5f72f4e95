-- Where aggregation begins without a processed time: at the end of the last period, else at the first reward. NULL: there
-- are no rewards.
--
-- $1 text  period
SELECT to_char(coalesce((SELECT "endedAt"
                           FROM trading_reward_aggregations
                          WHERE period = $1 AND "endedAt" IS NOT NULL
                          ORDER BY "startedAtHeight" DESC
                          LIMIT 1),
                        (SELECT min("blockTime") FROM trading_rewards)),
               'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS start
