-- A fill after $1 and up to $2 of an address with a wallet that cannot be added up, and what is in it: for the error's
-- text. As add_volume.sql reads it.
SELECT f.id, format('price %s, size %s', f.price, f.size) AS what
  FROM fills f
  JOIN subaccounts s ON s.id = f."subaccountId"
  JOIN wallets w ON w.address = s.address
 WHERE f."createdAt" > $1::timestamptz AND f."createdAt" <= $2::timestamptz
   AND f.price * f.size IN ('NaN', 'Infinity', '-Infinity')
 ORDER BY f."createdAt", f.id
 LIMIT 1
