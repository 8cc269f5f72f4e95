-- The addresses to screen, at most $4 (compliance specification, section 2.1): active since $1 and never screened, then
-- active and last screened at $2 or before, then those with a wallet last screened at $3 or before; none twice, and none
-- that is CLOSE_ONLY or BLOCKED. $5: addresses that failed lately, the longest ago first; they come behind
-- all others, of whatever kind, and have a tenth of the places for themselves, or those who always fail would take all.
-- $6: key of the pass in persistent_cache. While there is one, half of the other places are for the addresses behind the
-- one it has come to, whatever their kind: so everybody is asked about, even if those who come first always fail and
-- nobody remembers it.
-- Always at least one row, for the counts, which are those of the original's gauges: it counts barred addresses, too.
-- Of the third list's share the original also takes away the barred ones of the first two; so do we, but leave it a
-- tenth, because they never become fewer by themselves.
-- part: 1 the pass, 2 the lists, 3 who failed lately.
WITH failed AS MATERIALIZED (
    SELECT address, position FROM unnest($5::text[]) WITH ORDINALITY AS f (address, position)
), active AS MATERIALIZED (
    SELECT DISTINCT address FROM subaccounts WHERE "updatedAt" >= $1::timestamptz
), known AS MATERIALIZED (
    SELECT a.address, d.blocked, d."updatedAt" AS screened,
           coalesce(s.status IN ('CLOSE_ONLY', 'BLOCKED'), false) AS barred
      FROM active a
      LEFT JOIN compliance_data d ON d.address = a.address AND d.provider = 'ELLIPTIC'
      LEFT JOIN compliance_status s ON s.address = a.address
), aged AS MATERIALIZED (
    SELECT d.address, d."updatedAt" AS screened, coalesce(s.status IN ('CLOSE_ONLY', 'BLOCKED'), false) AS barred
      FROM compliance_data d
      JOIN wallets w ON w.address = d.address
      LEFT JOIN compliance_status s ON s.address = d.address
     WHERE NOT d.blocked AND d.provider = 'ELLIPTIC' AND d."updatedAt" <= $3::timestamptz
), candidate AS MATERIALIZED (
    SELECT DISTINCT ON (c.address) c.address, c.list, c.screened, coalesce(f.position, 0) AS position
      FROM (SELECT address, CASE WHEN blocked IS NULL THEN 1 ELSE 2 END AS list, screened
              FROM known
             WHERE NOT barred AND (blocked IS NULL OR NOT blocked AND screened <= $2::timestamptz)
             UNION ALL
            SELECT address, 3, screened FROM aged WHERE NOT barred) AS c
      LEFT JOIN failed f ON f.address = c.address
     ORDER BY c.address, c.list
), room AS MATERIALIZED (
    SELECT $4::bigint - least(count(*), $4::bigint / 10) AS n FROM candidate WHERE position > 0
), pass AS MATERIALIZED (
    SELECT value AS behind FROM persistent_cache WHERE key = $6
), passed AS MATERIALIZED (
    SELECT c.address, c.list
      FROM candidate c JOIN pass p ON c.address > p.behind
     WHERE c.position = 0
     ORDER BY c.address
     LIMIT (SELECT (n + 1) / 2 FROM room)
), front AS MATERIALIZED (
    SELECT address, list, screened
      FROM candidate
     WHERE list < 3 AND position = 0 AND address NOT IN (SELECT address FROM passed)
     ORDER BY list, screened, address
     LIMIT (SELECT n FROM room) - (SELECT count(*) FROM passed)
), rest AS MATERIALIZED (
    SELECT (SELECT n FROM room) - (SELECT count(*) FROM passed) - (SELECT count(*) FROM front) AS n,
           (SELECT count(*) FROM known
             WHERE barred AND (blocked IS NULL OR NOT blocked AND screened <= $2::timestamptz)) AS barred
), old AS MATERIALIZED (
    SELECT address, list, screened
      FROM candidate
     WHERE list = 3 AND position = 0 AND address NOT IN (SELECT address FROM passed)
     ORDER BY screened, address
     LIMIT (SELECT greatest(n - barred, least(n, $4::bigint / 10)) FROM rest)
), again AS MATERIALIZED (
    SELECT address, list, position
      FROM candidate
     WHERE position > 0
     ORDER BY position
     LIMIT $4::bigint - (SELECT count(*) FROM passed) - (SELECT count(*) FROM front) - (SELECT count(*) FROM old)
), taken AS MATERIALIZED (
    SELECT 1 AS part, address, list, NULL::timestamptz AS screened, 0 AS position FROM passed
     UNION ALL
    SELECT 2, address, list, screened, 0 FROM front
     UNION ALL
    SELECT 2, address, list, screened, 0 FROM old
     UNION ALL
    SELECT 3, address, list, NULL, position FROM again
), counts AS (
    SELECT (SELECT count(*) FROM known WHERE blocked IS NULL) AS new,
           (SELECT count(*) FROM taken WHERE list = 2) AS active_taken,
           (SELECT count(*) FROM known WHERE NOT blocked AND screened <= $2::timestamptz) AS active_stale,
           (SELECT count(*) FROM taken WHERE list = 3) AS old_taken,
           (SELECT count(*) FROM aged) AS inactive_stale,
           EXISTS (SELECT FROM pass) AS passing,
           (SELECT count(*) FROM passed) < (SELECT (n + 1) / 2 FROM room) AS pass_ends
)
SELECT taken.address, taken.part, counts.new, counts.active_taken, counts.active_stale, counts.old_taken,
       counts.inactive_stale, counts.passing, counts.pass_ends
  FROM counts
  LEFT JOIN taken ON true
 ORDER BY taken.part, CASE taken.part WHEN 2 THEN taken.list END, taken.screened, taken.position, taken.address
