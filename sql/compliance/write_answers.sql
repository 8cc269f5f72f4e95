-- Keeps what was answered about the addresses $1 ($2: blocked, $3: score or null) at the instant $4, and puts blocked ones
-- into CLOSE_ONLY, both or neither (compliance specification, section 2.3). $5: whether the answers have scores; else a
-- stored score stays. Who became BLOCKED meanwhile stays that, and CLOSE_ONLY keeps its instant, from which days count.
WITH answer AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::boolean[], $3::numeric[]) AS a (address, blocked, score)
), data AS (
    INSERT INTO compliance_data AS d (address, provider, blocked, "riskScore", "updatedAt")
    SELECT address, 'ELLIPTIC', blocked, score, $4::timestamptz FROM answer ORDER BY address
        ON CONFLICT (address, provider) DO UPDATE
       SET blocked = excluded.blocked, "updatedAt" = excluded."updatedAt",
           "riskScore" = CASE WHEN $5::boolean THEN excluded."riskScore" ELSE d."riskScore" END
    RETURNING 1
), status AS (
    INSERT INTO compliance_status AS s (address, status, reason, "createdAt", "updatedAt")
    SELECT address, 'CLOSE_ONLY', 'COMPLIANCE_PROVIDER', $4::timestamptz, $4::timestamptz
      FROM answer
     WHERE blocked
     ORDER BY address
        ON CONFLICT (address) DO UPDATE
       SET status = excluded.status, reason = excluded.reason, "updatedAt" = excluded."updatedAt"
     WHERE s.status NOT IN ('CLOSE_ONLY', 'BLOCKED')
    RETURNING 1
)
SELECT (SELECT count(*) FROM data) AS data, (SELECT count(*) FROM status) AS status
