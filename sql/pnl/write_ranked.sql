-- Ranks above $2 up to $3 of the span $1; rows that stay the same are not written.
INSERT INTO leaderboard_pnl AS l (address, pnl, "timeSpan", "currentEquity", rank)
SELECT address, pnl, $1, equity, rank
  FROM pnl_ranked
 WHERE failure IS NULL AND rank > $2::bigint AND rank <= $3::bigint
 ORDER BY address
    ON CONFLICT (address, "timeSpan") DO UPDATE
   SET pnl = excluded.pnl, "currentEquity" = excluded."currentEquity", rank = excluded.rank
 WHERE (l.pnl, l."currentEquity", l.rank) IS DISTINCT FROM (excluded.pnl, excluded."currentEquity", excluded.rank)
