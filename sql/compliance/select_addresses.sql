-- The addresses to screen, at most $4 (compliance specification, section 2.1): active since $1 and never screened, then
-- active and last screened at $2 or before, then those with a wallet last screened at $3 or before; none twice, and none
-- that is CLOSE_ONLY or BLOCKED. $5: addresses that failed lately, the longest ago first; they come behind
-- all others, of whatever kind, and have a tenth of the places for themselves, or those who always fail would take all.
-- Always at least one row, for the counts, which are those of the original's gauges: it counts barred addresses, too.
-- Of the third list's share the original also takes away the barred ones of the first two; so do we, but leave it a
-- tenth, because they never become fewer by themselves.
WITH failed AS MATERIALIZED (
    SELECT address, position FROM unnest($5::text[]) WITH ORDINALITY AS f (address, position)
), active AS MATERIALIZED (
    SELECT DISTINCT address FROM subaccounts WHERE "updatedAt" >= $1::timestamptz
), known AS MATERIALIZED (
    SELECT a.address, d.blocked, d."updatedAt" AS screened,
           coalesce(s.status IN ('CLOSE_ONLY', 'BLOCKED'), false) AS barred, coalesce(f.position, 0) AS position
      FROM active a
      LEFT JOIN compliance_data d ON d.address = a.address AND d.provider = 'ELLIPTIC'
      LEFT JOIN compliance_status s ON s.address = a.address
      LEFT JOIN failed f ON f.address = a.address
), aged AS MATERIALIZED (
    SELECT d.address, d."updatedAt" AS screened, coalesce(s.status IN ('CLOSE_ONLY', 'BLOCKED'), false) AS barred,
           coalesce(f.position, 0) AS position
      FROM compliance_data d
      JOIN wallets w ON w.address = d.address
      LEFT JOIN compliance_status s ON s.address = d.address
      LEFT JOIN failed f ON f.address = d.address
     WHERE NOT d.blocked AND d.provider = 'ELLIPTIC' AND d."updatedAt" <= $3::timestamptz
), failing AS MATERIALIZED (
    SELECT address, position, min(list) AS list
      FROM (SELECT address, position, CASE WHEN blocked IS NULL THEN 1 ELSE 2 END AS list
              FROM known
             WHERE position > 0 AND NOT barred AND (blocked IS NULL OR NOT blocked AND screened <= $2::timestamptz)
             UNION ALL
            SELECT address, position, 3 FROM aged WHERE position > 0 AND NOT barred) AS f
     GROUP BY address, position
), room AS MATERIALIZED (
    SELECT $4::bigint - least(count(*), $4::bigint / 10) AS n FROM failing
), new AS MATERIALIZED (
    SELECT address, 1 AS list, row_number() OVER (ORDER BY address) AS rank
      FROM known
     WHERE blocked IS NULL AND NOT barred AND position = 0
     ORDER BY address
     LIMIT (SELECT n FROM room)
), stale AS MATERIALIZED (
    SELECT address, 2 AS list, row_number() OVER (ORDER BY screened, address) AS rank
      FROM known
     WHERE NOT blocked AND screened <= $2::timestamptz AND NOT barred AND position = 0
     ORDER BY screened, address
     LIMIT (SELECT n FROM room) - (SELECT count(*) FROM new)
), rest AS MATERIALIZED (
    SELECT (SELECT n FROM room) - (SELECT count(*) FROM new) - (SELECT count(*) FROM stale) AS n,
           (SELECT count(*) FROM known
             WHERE barred AND (blocked IS NULL OR NOT blocked AND screened <= $2::timestamptz)) AS barred
), old AS MATERIALIZED (
    SELECT address, 3 AS list, row_number() OVER (ORDER BY screened, address) AS rank
      FROM aged
     WHERE NOT barred AND address NOT IN (SELECT address FROM stale) AND position = 0
     ORDER BY screened, address
     LIMIT (SELECT greatest(n - barred, least(n, $4::bigint / 10)) FROM rest)
), again AS MATERIALIZED (
    SELECT address, list, position
      FROM failing
     ORDER BY position
     LIMIT $4::bigint - (SELECT count(*) FROM new) - (SELECT count(*) FROM stale) - (SELECT count(*) FROM old)
), taken AS (
    SELECT * FROM new UNION ALL SELECT * FROM stale UNION ALL SELECT * FROM old
     UNION ALL
    SELECT address, 4, position FROM again
), counts AS (
    SELECT (SELECT count(*) FROM known WHERE blocked IS NULL) AS new,
           (SELECT count(*) FROM stale) + (SELECT count(*) FROM again WHERE list = 2) AS active_taken,
           (SELECT count(*) FROM known WHERE NOT blocked AND screened <= $2::timestamptz) AS active_stale,
           (SELECT count(*) FROM old) + (SELECT count(*) FROM again WHERE list = 3) AS old_taken,
           (SELECT count(*) FROM aged) AS inactive_stale
)
SELECT taken.address, counts.new, counts.active_taken, counts.active_stale, counts.old_taken, counts.inactive_stale
  FROM counts
  LEFT JOIN taken ON true
 ORDER BY taken.list, taken.rank
