-- Whether nothing is here that the sample would mix with.
SELECT NOT EXISTS (SELECT FROM perpetual_markets) AND NOT EXISTS (SELECT FROM markets)
   AND NOT EXISTS (SELECT FROM fills) AND NOT EXISTS (SELECT FROM subaccounts) AND NOT EXISTS (SELECT FROM blocks)
