-- A block every 5 s over the 25 hours before $1, and one event in each, which fills and positions refer to.
WITH block AS (
    INSERT INTO blocks ("blockHeight", time)
    SELECT 10000000 + i, $1::timestamptz - interval '25 hours' + i * interval '5 seconds'
      FROM generate_series(0, 18000) AS i
    RETURNING "blockHeight"
)
INSERT INTO tendermint_events (id, "blockHeight", "transactionIndex", "eventIndex")
SELECT int4send("blockHeight"::integer) || int4send(0) || int4send(0), "blockHeight", 0, 0
  FROM block
