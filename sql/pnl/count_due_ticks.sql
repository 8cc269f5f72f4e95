-- What compute_due_ticks found: accounts, ticks, failed ones, changed ones, remarkable ones; the block; the last account.
SELECT count(n), count(*) FILTER (WHERE failure IS NULL), count(*) FILTER (WHERE failure <> 'changed'),
       count(*) FILTER (WHERE failure = 'changed'), count(*) FILTER (WHERE grown AND failure IS NULL),
       to_char(max(time), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       (SELECT new FROM pnl_due WHERE n IS NOT NULL ORDER BY n DESC LIMIT 1),
       (SELECT subaccount FROM pnl_due WHERE n IS NOT NULL ORDER BY n DESC LIMIT 1)
  FROM pnl_due
