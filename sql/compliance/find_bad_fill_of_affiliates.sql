-- A fill after $1 and up to $2 of a referred address that cannot be added up, and what is in it: for the error's text.
-- As add_affiliate_info.sql reads it.
SELECT f.id, format('price %s, size %s, fee %s, affiliateRevShare %s', f.price, f.size, f.fee, f."affiliateRevShare")
       AS what
  FROM fills f
  JOIN subaccounts s ON s.id = f."subaccountId"
  JOIN affiliate_referred_users r ON r."refereeAddress" = s.address
 WHERE f."createdAt" > $1::timestamptz AND f."createdAt" <= $2::timestamptz
   AND f."createdAtHeight" >= r."referredAtBlock"
   AND (f.fee !~ '^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$'
        OR f.price * f.size IN ('NaN', 'Infinity', '-Infinity')
        OR f."affiliateRevShare" IN ('NaN', 'Infinity', '-Infinity'))
 ORDER BY f."createdAt", f.id
 LIMIT 1
