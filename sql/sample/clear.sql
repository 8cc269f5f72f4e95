-- Everything the sample fills, and whatever refers to it.
TRUNCATE asset_positions, assets, blocks, fills, liquidity_tiers, markets, oracle_prices, perpetual_markets,
         perpetual_positions, subaccounts, tendermint_events, wallets CASCADE
