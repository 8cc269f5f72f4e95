-- A vault for every tenth market; their first subaccounts are those of people with one. $1 now.
INSERT INTO vaults (address, "clobPairId", status, "createdAt", "updatedAt")
SELECT s.address, p."clobPairId", 'QUOTING', $1::timestamptz - interval '25 hours', $1::timestamptz
  FROM (SELECT "clobPairId", row_number() OVER (ORDER BY id) AS n FROM perpetual_markets WHERE id % 10 = 0) AS p
  JOIN (SELECT address, row_number() OVER (ORDER BY id) AS n FROM subaccounts WHERE "subaccountNumber" = 0) AS s USING (n)
