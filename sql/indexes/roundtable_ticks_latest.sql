CREATE INDEX CONCURRENTLY IF NOT EXISTS roundtable_ticks_latest
    ON pnl_ticks ("subaccountId", "createdAt" DESC) INCLUDE ("blockHeight", "blockTime", equity, "totalPnl")
