-- Accounts to be named: those without a tick and why, and large changes.
SELECT subaccount, CASE WHEN failure <> 'changed' THEN failure END, last_equity, equity, last_total, total
  FROM pnl_due
 WHERE failure <> 'changed' OR (failure IS NULL AND grown)
 ORDER BY n NULLS LAST, subaccount
