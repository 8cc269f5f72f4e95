-- What the compliance family works on, for the addresses that are there. $1 now, $2 seed.
-- A fifth of the addresses was referred by one of the first fiftieth; takers among the referred earned their affiliate a
-- share. Seven in ten were screened within the last forty days, one in sixty of these as high risk; a few were stopped by
-- where they are. Checkpoints stand before the first fill.
WITH address AS MATERIALIZED (
    SELECT address, row_number() OVER (ORDER BY address) AS n, count(*) OVER () AS total,
           hashtextextended(address, $2::bigint) & 1048575 AS a, (hashtextextended(address, $2::bigint) >> 20) & 1048575 AS b
      FROM wallets
), referral AS (
    INSERT INTO affiliate_referred_users ("refereeAddress", "affiliateAddress", "referredAtBlock")
    SELECT r.address, f.address, 10000000 + r.b % 18000
      FROM address r
      JOIN address f ON f.n = 1 + r.b % greatest(r.total / 50, 1)
     WHERE r.a % 5 = 0 AND f.address <> r.address
    RETURNING "refereeAddress"
), shares AS (
    UPDATE fills
       SET "affiliateRevShare" = round(fee::numeric * 0.15, 6)
      FROM subaccounts s JOIN referral r ON r."refereeAddress" = s.address
     WHERE fills."subaccountId" = s.id AND fills.liquidity = 'TAKER' AND fills.type = 'LIMIT'
), screened AS (
    INSERT INTO compliance_data (address, provider, blocked, "riskScore", "updatedAt")
    SELECT address, 'ELLIPTIC', b % 60 = 0, CASE WHEN b % 60 = 0 THEN 10 + b % 15 WHEN b % 3 = 0 THEN b % 10 ELSE -1 END,
           $1::timestamptz - (b % 3456000) * interval '3.3 seconds'
      FROM address
     WHERE a % 10 < 7
    RETURNING address, blocked, "updatedAt"
), status AS (
    INSERT INTO compliance_status (address, status, reason, "createdAt", "updatedAt")
    SELECT address, 'CLOSE_ONLY', 'COMPLIANCE_PROVIDER', "updatedAt", greatest("updatedAt", $1::timestamptz - interval '9 days')
      FROM screened
     WHERE blocked
    UNION ALL
    SELECT address, CASE WHEN b % 2 = 0 THEN 'CLOSE_ONLY' ELSE 'FIRST_STRIKE_CLOSE_ONLY' END,
           CASE WHEN b % 3 = 0 THEN 'CA_GEO' ELSE 'US_GEO' END, t, t
      FROM address CROSS JOIN LATERAL (SELECT $1::timestamptz - (b % 8640) * interval '100 seconds' AS t) AS x
     WHERE a % 10 = 9 AND b % 10 = 0
), token AS (
    INSERT INTO firebase_notification_tokens (token, address, language, "updatedAt")
    SELECT md5($2::bigint || ' token ' || address), address, CASE WHEN b % 4 = 0 THEN 'de' ELSE 'en' END,
           $1::timestamptz - (b % 5184) * interval '1000 seconds'
      FROM address
     WHERE a % 20 = 0
)
INSERT INTO persistent_cache (key, value)
SELECT key, to_char(date_trunc('milliseconds', $1::timestamptz - interval '25 hours 1 second'), 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"')
  FROM unnest(ARRAY['totalVolumeUpdateTime', 'affiliateInfoUpdateTime']) AS key
