-- The open short-term orders with what Redis has of them, in the columns of choose_orders.sql.
SELECT o."subaccountId", s.address, s."subaccountNumber", o."clientId", o."clobPairId", p.ticker, o.side,
       trunc(o.size / pow(10::numeric, p."atomicResolution")),
       trunc(o.price / pow(10::numeric, p."quantumConversionExponent" - 6 - p."atomicResolution")), o.size, o.price,
       o."goodTilBlock"
  FROM orders AS o
  JOIN subaccounts AS s ON s.id = o."subaccountId"
  JOIN perpetual_markets AS p ON p."clobPairId" = o."clobPairId"
 WHERE o.status = 'OPEN' AND o."orderFlags" = 0 AND o."goodTilBlock" IS NOT NULL
 ORDER BY o.id
