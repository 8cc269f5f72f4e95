-- A fill after $1 and up to $2 that cannot be added up: for the error's text.
SELECT id, price, size, fee, "affiliateRevShare"
  FROM fills
 WHERE "createdAt" > $1::timestamptz AND "createdAt" <= $2::timestamptz
   AND (fee !~ '^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$'
        OR price * size IN ('NaN', 'Infinity', '-Infinity') OR "affiliateRevShare" IN ('NaN', 'Infinity', '-Infinity'))
 LIMIT 1
