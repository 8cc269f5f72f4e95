CREATE INDEX CONCURRENTLY IF NOT EXISTS roundtable_funding_height
    ON funding_index_updates ("perpetualId", "effectiveAtHeight" DESC) INCLUDE ("fundingIndex")
