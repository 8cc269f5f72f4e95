-- A funding index update of every market at each of the last 25 full hours of blocks (720 of them an hour). $1 now, $2 seed.
-- Rates are within 0.0125 % an hour; the index is the running sum of rate * price.
INSERT INTO funding_index_updates (id, "perpetualId", "eventId", rate, "oraclePrice", "fundingIndex", "effectiveAt",
                                   "effectiveAtHeight")
SELECT md5('funding ' || id || ' ' || height)::uuid, id, int4send(height::integer) || int4send(0) || int4send(0), rate, price,
       sum(trim_scale(round(rate * price, 12))) OVER (PARTITION BY id ORDER BY height),
       $1::timestamptz - interval '25 hours' + (height - 10000000) * interval '5 seconds', height
  FROM (SELECT p.id, h.height, trim_scale(m."oraclePrice") AS price,
               trim_scale((hashint8extended(p.id * 100000 + h.height, $2::bigint) % 125)::numeric / 1000000) AS rate
          FROM perpetual_markets AS p
          JOIN markets AS m ON m.id = p."marketId"
         CROSS JOIN generate_series(10000720::bigint, 10018000, 720) AS h (height)) AS u
