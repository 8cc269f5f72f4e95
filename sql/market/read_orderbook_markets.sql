-- All perpetual markets whatever their status, with what the order book tasks need (market specification, section 3).
SELECT "clobPairId", ticker, "quantumConversionExponent", "atomicResolution"
  FROM perpetual_markets
 ORDER BY id
