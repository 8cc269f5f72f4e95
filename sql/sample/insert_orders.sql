-- Open short-term orders: $1 ids, $2 subaccounts, $3 client ids, $4 order books, $5 sides, $6 sizes, $7 prices, $8 last
-- blocks. $9 now.
INSERT INTO orders (id, "subaccountId", "clientId", "clobPairId", side, size, "totalFilled", price, type, status, "timeInForce",
                    "reduceOnly", "orderFlags", "goodTilBlock", "clientMetadata", "updatedAt", "updatedAtHeight", "createdAt")
SELECT id, subaccount, client, book, side, size, 0, price, 'LIMIT', 'OPEN', 'POST_ONLY', false, 0, block, 0,
       $9::timestamptz, block - 20, $9::timestamptz
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::numeric[], $7::numeric[], $8::bigint[])
       AS o (id, subaccount, client, book, side, size, price, block)
    ON CONFLICT DO NOTHING
