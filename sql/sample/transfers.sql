-- A deposit to each of $3 subaccounts in the first 20 hours, and a transfer from every fifth one to another at any time.
-- $1 now, $2 seed.
INSERT INTO transfers (id, "senderSubaccountId", "recipientSubaccountId", "senderWalletAddress", "assetId", size, "eventId",
                       "transactionHash", "createdAt", "createdAtHeight")
SELECT md5('transfer ' || kind || n)::uuid, CASE WHEN deposit THEN NULL ELSE md5('subaccount ' || n)::uuid END,
       md5('subaccount ' || CASE WHEN deposit THEN n ELSE (n + 1 + (h >> 40) % 7) % $3::bigint END)::uuid,
       CASE WHEN deposit THEN s.address END, '0', trim_scale((100 + (h & 16777215))::numeric / CASE WHEN deposit THEN 100 ELSE 10000 END),
       int4send(height::integer) || int4send(0) || int4send(0), upper(md5(kind || n) || md5('transfer ' || n)),
       $1::timestamptz - interval '25 hours' + (height - 10000000) * interval '5 seconds', height
  FROM generate_series(0::bigint, $3::bigint - 1) AS n
 CROSS JOIN (VALUES ('deposit ', true), ('move ', false)) AS k (kind, deposit)
 CROSS JOIN LATERAL (SELECT hashint8extended(n * 2 + CASE WHEN deposit THEN 0 ELSE 1 END, $2::bigint) & 9223372036854775807 AS h) AS x
 CROSS JOIN LATERAL (SELECT 10000000 + CASE WHEN deposit THEN 1 + (h >> 24) % 14400 ELSE 1 + (h >> 24) % 18000 END AS height) AS y
  JOIN subaccounts AS s ON s.id = md5('subaccount ' || n)::uuid
 WHERE deposit OR n % 5 = 0
