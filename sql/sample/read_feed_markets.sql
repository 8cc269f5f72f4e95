-- The tickers that the live feed appends funding samples to.
SELECT ticker FROM perpetual_markets ORDER BY id
