-- A price a minute for every market over 25 hours before $1: a slow wave of 3 %, whose phase depends on seed $2 and
-- market, with noise of 0.2 %; as many digits as the market's exponent says.
INSERT INTO oracle_prices (id, "marketId", price, "effectiveAt", "effectiveAtHeight")
SELECT md5('price ' || m.id || ' ' || i)::uuid, m.id,
       round((m."oraclePrice"::float8
              * (1 + 0.03 * (sin(i / 240.0 + phase) - sin(1500 / 240.0 + phase))
                 + CASE WHEN i = 1500 THEN 0 ELSE 0.004 * ((hashint8extended(m.id * 1501 + i, $2::bigint) & 65535) / 65536.0 - 0.5) END)
             )::numeric, greatest(-m.exponent, 0)),
       $1::timestamptz - interval '25 hours' + i * interval '1 minute', 10000000 + i * 12
  FROM markets AS m
 CROSS JOIN LATERAL (SELECT (hashint8extended(m.id, $2::bigint) & 65535) / 65536.0 * 2 * pi() AS phase) AS p
 CROSS JOIN generate_series(0, 1500) AS i
