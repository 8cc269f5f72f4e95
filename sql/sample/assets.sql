INSERT INTO assets (id, "atomicResolution", "hasMarket", "marketId", symbol) VALUES ('0', -6, false, NULL, 'USDC')
