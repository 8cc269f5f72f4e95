-- Gives the ticks numbered $1 the ids $2, and returns what the ids of the next ones behind $3 are made of.
WITH named AS (
    UPDATE pnl_due SET tick_id = i.id FROM unnest($1::bigint[], $2::uuid[]) AS i (n, id) WHERE pnl_due.n = i.n
)
SELECT n, subaccount, to_char(created, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
  FROM pnl_due
 WHERE tick_id IS NULL AND failure IS NULL AND n > $3::bigint
 ORDER BY n
 LIMIT $4::bigint
