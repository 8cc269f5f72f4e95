-- CLOSE_ONLY since $1 or before becomes BLOCKED at the instant $2 (compliance specification, section 3). One conditional
-- statement: an address that was set back meanwhile stays as it is. $3: whether the reason stays.
UPDATE compliance_status
   SET status = 'BLOCKED', reason = CASE WHEN $3::boolean THEN reason END, "updatedAt" = $2::timestamptz
 WHERE status = 'CLOSE_ONLY' AND "updatedAt" <= $1::timestamptz
