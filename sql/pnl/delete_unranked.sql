-- Addresses of the span $1 that its ranking does not have any more.
DELETE FROM leaderboard_pnl AS l
 WHERE l."timeSpan" = $1
   AND NOT EXISTS (SELECT FROM pnl_ranked AS r WHERE r.address = l.address AND r.failure IS NULL)
