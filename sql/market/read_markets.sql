-- All perpetual markets whatever their status, in the order of the message (market specification, sections 3 and 9.6).
-- Amounts are handed over as PostgreSQL prints them: their scale is part of the value that clients see.
SELECT id, "clobPairId", ticker, "marketId", "priceChange24H", "volume24H", "trades24H", "nextFundingRate",
       "openInterest", "defaultFundingRate1H"
  FROM perpetual_markets
 ORDER BY id
