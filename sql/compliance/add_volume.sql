-- Adds price * size of the fills after $1 and up to $2 to the wallets of their addresses, exactly (compliance
-- specification, section 6); addresses without a wallet are left out. bad: a wallet got a sum that is no number,
-- which the caller must not commit.
WITH by_subaccount AS MATERIALIZED (
    SELECT "subaccountId", sum(price * size) AS volume, count(*) AS fills
      FROM fills
     WHERE "createdAt" > $1::timestamptz AND "createdAt" <= $2::timestamptz
     GROUP BY "subaccountId"
), by_address AS MATERIALIZED (
    SELECT s.address, sum(f.volume) AS volume
      FROM by_subaccount f JOIN subaccounts s ON s.id = f."subaccountId"
     GROUP BY s.address
), updated AS (
    UPDATE wallets w
       SET "totalVolume" = w."totalVolume" + a.volume
      FROM by_address a
     WHERE w.address = a.address
    RETURNING a.volume
)
SELECT (SELECT coalesce(sum(fills), 0) FROM by_subaccount) AS fills,
       (SELECT count(*) FROM updated) AS changed,
       EXISTS (SELECT FROM updated WHERE volume IN ('NaN', 'Infinity', '-Infinity')) AS bad
