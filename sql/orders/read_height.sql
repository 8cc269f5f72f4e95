-- Height of the latest block.
SELECT "blockHeight" FROM blocks ORDER BY "blockHeight" DESC LIMIT 1
