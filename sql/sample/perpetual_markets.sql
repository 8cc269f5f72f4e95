-- $1 ids, $2 tickers, $3 atomic resolutions, $4 subticks per tick, $5 tiers, $6 market types. Statistics start at zero, as
-- the indexer inserts them.
INSERT INTO perpetual_markets (id, "clobPairId", ticker, "marketId", status, "priceChange24H", "volume24H", "trades24H",
                               "nextFundingRate", "openInterest", "quantumConversionExponent", "atomicResolution",
                               "subticksPerTick", "stepBaseQuantums", "liquidityTierId", "marketType", "baseOpenInterest",
                               "defaultFundingRate1H")
SELECT id, id, ticker, id, 'ACTIVE', 0, 0, 0, 0, 0, -9, resolution, subticks, 1000000, tier, type, 0,
       CASE WHEN id % 10 = 9 THEN NULL ELSE 0.0000125 END
  FROM unnest($1::integer[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::text[])
       AS m (id, ticker, resolution, subticks, tier, type)
