-- $3 subaccounts; four of five addresses have one, the others two. $1 now, $2 seed.
WITH account AS (
    SELECT n, 'dydx1' || translate(left(md5($2::bigint || ' address ' || n - n % 5 / 4) || md5('tail ' || n - n % 5 / 4), 38),
                                   'b1', 'q8') AS address,
           (n % 5) / 4 AS number
      FROM generate_series(0::bigint, $3::bigint - 1) AS n
), wallet AS (
    INSERT INTO wallets (address, "totalTradingRewards", "totalVolume")
    SELECT address, 0, 0 FROM account WHERE number = 0
), subaccount AS (
    INSERT INTO subaccounts (id, address, "subaccountNumber", "updatedAt", "updatedAtHeight")
    SELECT md5('subaccount ' || n)::uuid, address, number, $1::timestamptz, 10018000 FROM account
    RETURNING id
)
INSERT INTO asset_positions (id, "assetId", "subaccountId", size, "isLong")
SELECT md5('asset ' || id)::uuid, '0', id,
       (1000 + (hashtextextended(id::text, $2::bigint) & 16777215))::numeric / 100, true
  FROM subaccount
