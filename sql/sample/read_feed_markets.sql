-- What funding samples and order books are made of: latest price, and the tick as "multiple" times a power of ten.
SELECT ticker, m."oraclePrice", p."subticksPerTick" AS multiple,
       p."quantumConversionExponent" - 6 - p."atomicResolution" AS exponent, p."stepBaseQuantums"
  FROM perpetual_markets AS p
  JOIN markets AS m ON m.id = p."marketId"
 ORDER BY p.id
