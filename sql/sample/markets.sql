-- $1 ids, $2 pairs, $3 exponents, $4 prices.
INSERT INTO markets (id, pair, exponent, "minPriceChangePpm", "oraclePrice")
SELECT id, pair, exponent, 1000, price
  FROM unnest($1::integer[], $2::text[], $3::integer[], $4::numeric[]) AS m (id, pair, exponent, price)
