-- Inputs of the five statistics for the markets $1 (perpetual ids), $2 (clob pair ids) and $3 (oracle market ids) at the
-- instant $4, one row each in the order given (market specification, section 9.1, Q3 to Q6).
-- The look-ups of prices walk oracle_prices ("marketId", "effectiveAt") backwards to the first row; equal instants are
-- told apart by height (an incremental sort of one row). Only LIMIT is in use today among the counted types; takers of
-- liquidations, deleveraging and TWAP orders are left out, as ever.
WITH market AS (
    SELECT *
      FROM unnest($1::bigint[], $2::bigint[], $3::integer[])
           WITH ORDINALITY AS m (id, clob_pair_id, market_id, position)
), traded AS MATERIALIZED (
    SELECT "clobPairId", count(*) AS trades, sum("quoteAmount") AS volume
      FROM fills
     WHERE liquidity = 'TAKER'
       AND "createdAt" > $4::timestamptz - interval '24 hours'
       AND type IN ('LIMIT', 'MARKET', 'STOP_LIMIT', 'STOP_MARKET', 'TRAILING_STOP', 'TAKE_PROFIT', 'TAKE_PROFIT_MARKET')
     GROUP BY "clobPairId"
), held AS MATERIALIZED (
    SELECT "perpetualId", sum(size) AS size
      FROM perpetual_positions
     WHERE side = 'LONG' AND status = 'OPEN' AND "perpetualId" = ANY ($1::bigint[])
     GROUP BY "perpetualId"
)
SELECT latest.price, day_ago.price, traded.trades, traded.volume, held.size
  FROM market
  LEFT JOIN LATERAL (
           SELECT price FROM oracle_prices
            WHERE "marketId" = market.market_id AND "effectiveAt" <= $4::timestamptz
            ORDER BY "effectiveAt" DESC, "effectiveAtHeight" DESC LIMIT 1) AS latest ON true
  LEFT JOIN LATERAL (
           SELECT price FROM oracle_prices
            WHERE "marketId" = market.market_id AND "effectiveAt" <= $4::timestamptz - interval '24 hours'
            ORDER BY "effectiveAt" DESC, "effectiveAtHeight" DESC LIMIT 1) AS day_ago ON true
  LEFT JOIN traded ON traded."clobPairId" = market.clob_pair_id
  LEFT JOIN held ON held."perpetualId" = market.id
 ORDER BY market.position
