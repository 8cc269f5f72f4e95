-- Writes the five statistics of the rows that changed. Texts become numeric with the scale they are written in; rows that
-- were deleted meanwhile are ignored (market specification, section 9.4).
UPDATE perpetual_markets AS p
   SET "priceChange24H" = n.price_change, "volume24H" = n.volume, "trades24H" = n.trades,
       "nextFundingRate" = n.funding_rate, "openInterest" = n.open_interest
  FROM unnest($1::bigint[], $2::numeric[], $3::numeric[], $4::integer[], $5::numeric[], $6::numeric[])
       AS n (id, price_change, volume, trades, funding_rate, open_interest)
 WHERE p.id = n.id
