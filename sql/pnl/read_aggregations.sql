-- The aggregations that addresses have in a period (id NULL: none yet), and whether the sum still fits the column, which is
-- numeric(27,18).
--
-- $1 text[]     addresses
-- $2 numeric[]  what is to be added
-- $3 text       period
-- $4 bigint     startedAtHeight
SELECT r.address, r.amount, a.id, abs(coalesce(a.amount, 0) + r.amount) < 1000000000 AS fits
  FROM unnest($1::text[], $2::numeric[]) WITH ORDINALITY AS r (address, amount, ord)
  LEFT JOIN (SELECT DISTINCT ON (address) address, id, amount
               FROM trading_reward_aggregations
              WHERE period = $3 AND "startedAtHeight" = $4::bigint
              ORDER BY address, id) AS a ON a.address = r.address
 ORDER BY r.ord
