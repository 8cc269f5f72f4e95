CREATE INDEX CONCURRENTLY IF NOT EXISTS roundtable_transfers_height ON transfers ("createdAtHeight")
