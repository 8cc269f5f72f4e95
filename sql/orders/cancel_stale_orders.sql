-- Cancels at most $2 short-term orders that are open though their last block is below height $1, the oldest first, from
-- block $3 on (what an earlier statement of the run has cancelled lies before: its dead index entries are not walked
-- again). Conditions are spelled as in the partial index. A row that somebody is changing is left for later, and a
-- locked row is looked at again in its newest form: a replaced order has a later block. Nothing but the status changes.
WITH stale AS MATERIALIZED (
    SELECT id
      FROM orders
     WHERE status = 'OPEN' AND "orderFlags" = 0 AND "goodTilBlock" IS NOT NULL
       AND "goodTilBlock" < $1::bigint AND "goodTilBlock" >= $3::bigint
     ORDER BY "goodTilBlock"
     LIMIT $2::bigint
       FOR NO KEY UPDATE SKIP LOCKED
), cancelled AS (
    UPDATE orders SET status = 'CANCELED' FROM stale WHERE orders.id = stale.id
    RETURNING orders."goodTilBlock"
)
SELECT count(*), max("goodTilBlock") FROM cancelled
