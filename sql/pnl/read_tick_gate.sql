-- Whether ticks are due (PnL specification, section 1.1): height and time of the latest block, and of the ticks of the
-- latest time its milliseconds, a height and their number, counted up to $1. No row without a block; times as text, and
-- in milliseconds since 1970.
SELECT b."blockHeight", floor(extract(epoch FROM b.time) * 1000)::bigint,
       to_char(b.time, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), floor(extract(epoch FROM m.time) * 1000)::bigint,
       (SELECT "blockHeight" FROM pnl_ticks WHERE "blockTime" = m.time LIMIT 1),
       (SELECT count(*) FROM (SELECT FROM pnl_ticks WHERE "blockTime" = m.time LIMIT $1::bigint) AS t)
  FROM (SELECT "blockHeight", time FROM blocks ORDER BY "blockHeight" DESC LIMIT 1) AS b
 CROSS JOIN (SELECT max("blockTime") AS time FROM pnl_ticks) AS m
