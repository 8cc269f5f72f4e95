-- The database of the indexer as it is after all migrations of the original tool, in one step: tables, keys, checks,
-- indexes and views, under the names and with the column order which that tool left behind. Tables come in the order of
-- their foreign keys. Run in one transaction by the migration code, which records it in roundtable_migrations.

CREATE TABLE roundtable_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now()
);
COMMENT ON TABLE roundtable_migrations IS 'Migrations of this project that were applied here.';
COMMENT ON COLUMN roundtable_migrations.version IS 'Number of the file in sql/migrations.';
COMMENT ON COLUMN roundtable_migrations.name IS 'Name of the file without its number.';
COMMENT ON COLUMN roundtable_migrations.applied_at IS 'When its transaction began.';

CREATE TABLE affiliate_info (
    address                     character varying(255) NOT NULL,
    "affiliateEarnings"         numeric NOT NULL DEFAULT '0'::numeric,
    "referredMakerTrades"       integer NOT NULL,
    "referredTakerTrades"       integer NOT NULL,
    "totalReferredUsers"        integer NOT NULL,
    "firstReferralBlockHeight"  bigint NOT NULL,
    "referredTotalVolume"       numeric NOT NULL,
    "totalReferredTakerFees"    numeric NOT NULL DEFAULT '0'::numeric,
    "totalReferredMakerFees"    numeric NOT NULL DEFAULT '0'::numeric,
    "totalReferredMakerRebates" numeric NOT NULL DEFAULT '0'::numeric,
    CONSTRAINT affiliate_info_pkey PRIMARY KEY (address)
);
COMMENT ON TABLE affiliate_info IS 'What each affiliate earned and how much those it referred traded.';
COMMENT ON COLUMN affiliate_info.address IS 'Address on the chain.';
COMMENT ON COLUMN affiliate_info."affiliateEarnings" IS 'All it earned.';
COMMENT ON COLUMN affiliate_info."referredMakerTrades" IS 'Maker trades of those it referred.';
COMMENT ON COLUMN affiliate_info."referredTakerTrades" IS 'Taker trades of those it referred.';
COMMENT ON COLUMN affiliate_info."totalReferredUsers" IS 'How many it referred.';
COMMENT ON COLUMN affiliate_info."firstReferralBlockHeight" IS 'Block of its first referral.';
COMMENT ON COLUMN affiliate_info."referredTotalVolume" IS 'Volume of those it referred.';
COMMENT ON COLUMN affiliate_info."totalReferredTakerFees" IS 'Taker fees of those it referred.';
COMMENT ON COLUMN affiliate_info."totalReferredMakerFees" IS 'Maker fees of those it referred.';
COMMENT ON COLUMN affiliate_info."totalReferredMakerRebates" IS 'Maker rebates of those it referred; not above zero.';

CREATE TABLE affiliate_referred_users (
    "refereeAddress"   character varying(255) NOT NULL,
    "affiliateAddress" character varying(255) NOT NULL,
    "referredAtBlock"  bigint NOT NULL,
    CONSTRAINT affiliate_referred_users_pkey PRIMARY KEY ("refereeAddress")
);
CREATE INDEX affiliate_referred_users_affiliateaddress_index ON affiliate_referred_users ("affiliateAddress");
COMMENT ON TABLE affiliate_referred_users IS 'Who was referred by which affiliate.';
COMMENT ON COLUMN affiliate_referred_users."refereeAddress" IS 'Who was referred.';
COMMENT ON COLUMN affiliate_referred_users."affiliateAddress" IS 'By whom.';
COMMENT ON COLUMN affiliate_referred_users."referredAtBlock" IS 'In which block.';

CREATE TABLE blocks (
    "blockHeight" bigint NOT NULL,
    time          timestamp with time zone NOT NULL,
    CONSTRAINT blocks_pkey PRIMARY KEY ("blockHeight")
);
CREATE INDEX blocks_time_since_march2025_idx ON blocks (time)
    WHERE time >= TIMESTAMP WITH TIME ZONE '2025-03-01 00:00:00+00';
COMMENT ON TABLE blocks IS 'Blocks of the chain that were indexed.';
COMMENT ON COLUMN blocks."blockHeight" IS 'Its block.';
COMMENT ON COLUMN blocks.time IS 'Time of the block.';

CREATE TABLE bridge_information (
    id               character varying(255) NOT NULL,
    from_address     character varying(255) NOT NULL,
    chain_id         character varying(255) NOT NULL,
    amount           character varying(255) NOT NULL,
    transaction_hash character varying(255),
    created_at       timestamp with time zone NOT NULL,
    CONSTRAINT bridge_information_pkey PRIMARY KEY (id),
    CONSTRAINT bridge_information_transaction_hash_unique UNIQUE (transaction_hash)
);
CREATE INDEX idx_bridge_information_from_address ON bridge_information (from_address);
COMMENT ON TABLE bridge_information IS 'Deposits that came over a bridge.';
COMMENT ON COLUMN bridge_information.id IS 'UUID.';
COMMENT ON COLUMN bridge_information.from_address IS 'Sender on the other chain.';
COMMENT ON COLUMN bridge_information.chain_id IS 'Chain.';
COMMENT ON COLUMN bridge_information.amount IS 'Amount.';
COMMENT ON COLUMN bridge_information.transaction_hash IS 'Transaction on the other chain.';
COMMENT ON COLUMN bridge_information.created_at IS 'When it came to be.';

CREATE TABLE candles (
    id                       uuid NOT NULL,
    "startedAt"              timestamp with time zone NOT NULL,
    ticker                   character varying(255) NOT NULL,
    resolution               text NOT NULL,
    low                      numeric NOT NULL,
    high                     numeric NOT NULL,
    open                     numeric NOT NULL,
    close                    numeric NOT NULL,
    "baseTokenVolume"        numeric NOT NULL,
    "usdVolume"              numeric NOT NULL,
    trades                   integer NOT NULL,
    "startingOpenInterest"   numeric NOT NULL,
    "orderbookMidPriceOpen"  numeric,
    "orderbookMidPriceClose" numeric,
    CONSTRAINT candles_pkey PRIMARY KEY (id),
    CONSTRAINT candles_resolution_check CHECK (resolution IN ('1MIN', '5MINS', '15MINS', '30MINS', '1HOUR', '4HOURS', '1DAY'))
);
CREATE INDEX add_candles_sparklines_feb2025_idx ON candles (resolution, "startedAt")
    WHERE resolution IN ('1HOUR', '4HOURS') AND "startedAt" > TIMESTAMP WITH TIME ZONE '2025-02-01 00:00:00+00';
CREATE INDEX candles_started_at_index ON candles ("startedAt");
CREATE INDEX candles_ticker_resolution_startedat_index ON candles (ticker, resolution, "startedAt" DESC);
COMMENT ON TABLE candles IS 'Open, high, low, close and volumes of a market for one span of time.';
COMMENT ON COLUMN candles.id IS 'UUID made of start, market and resolution.';
COMMENT ON COLUMN candles."startedAt" IS 'Begin of the span.';
COMMENT ON COLUMN candles.ticker IS 'Name of the market, such as BTC-USD.';
COMMENT ON COLUMN candles.resolution IS 'Length of the span.';
COMMENT ON COLUMN candles.low IS 'Lowest price.';
COMMENT ON COLUMN candles.high IS 'Highest price.';
COMMENT ON COLUMN candles.open IS 'First price.';
COMMENT ON COLUMN candles.close IS 'Last price.';
COMMENT ON COLUMN candles."baseTokenVolume" IS 'Volume in units of the market.';
COMMENT ON COLUMN candles."usdVolume" IS 'Volume in quote currency.';
COMMENT ON COLUMN candles.trades IS 'Number of trades.';
COMMENT ON COLUMN candles."startingOpenInterest" IS 'Open interest at the begin.';
COMMENT ON COLUMN candles."orderbookMidPriceOpen" IS 'Middle of the order book at the begin.';
COMMENT ON COLUMN candles."orderbookMidPriceClose" IS 'Middle of the order book at the end.';

CREATE TABLE compliance_data (
    address     character varying(255) NOT NULL,
    provider    text NOT NULL,
    chain       character varying(255),
    blocked     boolean NOT NULL,
    "riskScore" numeric(8,2),
    "updatedAt" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT compliance_data_pkey PRIMARY KEY (address, provider),
    CONSTRAINT compliance_data_provider_check CHECK (provider IN ('ELLIPTIC'))
);
CREATE INDEX compliance_data_address_index ON compliance_data (address);
CREATE INDEX compliance_data_blocked_index ON compliance_data (blocked);
CREATE INDEX compliance_data_updatedat_index ON compliance_data ("updatedAt");
COMMENT ON TABLE compliance_data IS 'Answers of compliance providers about an address.';
COMMENT ON COLUMN compliance_data.address IS 'Address on the chain.';
COMMENT ON COLUMN compliance_data.provider IS 'Who was asked.';
COMMENT ON COLUMN compliance_data.chain IS 'Chain of the address, where the provider tells.';
COMMENT ON COLUMN compliance_data.blocked IS 'Whether the address is to be blocked.';
COMMENT ON COLUMN compliance_data."riskScore" IS 'The provider''s score.';
COMMENT ON COLUMN compliance_data."updatedAt" IS 'When it was last changed.';

CREATE TABLE compliance_status (
    address     character varying(255) NOT NULL,
    status      text NOT NULL,
    reason      text,
    "createdAt" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT compliance_status_pkey PRIMARY KEY (address)
);
ALTER TABLE compliance_status ADD CONSTRAINT compliance_status_reason_check CHECK (reason IN ('MANUAL', 'US_GEO', 'CA_GEO', 'GB_GEO', 'SANCTIONED_GEO', 'COMPLIANCE_PROVIDER')) NOT VALID;
ALTER TABLE compliance_status ADD CONSTRAINT compliance_status_status_check CHECK (status IN ('COMPLIANT', 'FIRST_STRIKE_CLOSE_ONLY', 'FIRST_STRIKE', 'CLOSE_ONLY', 'BLOCKED')) NOT VALID;
CREATE INDEX compliance_status_status_index ON compliance_status (status);
CREATE INDEX compliance_status_updatedat_index ON compliance_status ("updatedAt");
COMMENT ON TABLE compliance_status IS 'What an address may do.';
COMMENT ON COLUMN compliance_status.address IS 'Address on the chain.';
COMMENT ON COLUMN compliance_status.status IS 'Its state.';
COMMENT ON COLUMN compliance_status.reason IS 'Why it is so.';
COMMENT ON COLUMN compliance_status."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN compliance_status."updatedAt" IS 'When it was last changed.';

CREATE TABLE liquidity_tiers (
    id                       integer NOT NULL,
    name                     character varying(255),
    "initialMarginPpm"       bigint NOT NULL,
    "maintenanceFractionPpm" bigint NOT NULL,
    "openInterestLowerCap"   character varying(255) DEFAULT NULL::character varying,
    "openInterestUpperCap"   character varying(255) DEFAULT NULL::character varying,
    CONSTRAINT liquidity_tiers_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE liquidity_tiers IS 'Margin and open-interest parameters shared by markets.';
COMMENT ON COLUMN liquidity_tiers.id IS 'Number on the chain.';
COMMENT ON COLUMN liquidity_tiers.name IS 'Name.';
COMMENT ON COLUMN liquidity_tiers."initialMarginPpm" IS 'Initial margin in millionths.';
COMMENT ON COLUMN liquidity_tiers."maintenanceFractionPpm" IS 'Maintenance margin as a fraction of the initial one, in millionths.';
COMMENT ON COLUMN liquidity_tiers."openInterestLowerCap" IS 'Open interest from which margins rise, a number as text.';
COMMENT ON COLUMN liquidity_tiers."openInterestUpperCap" IS 'Open interest at which margins are full, a number as text.';

CREATE TABLE markets (
    id                  integer NOT NULL,
    pair                character varying(255) NOT NULL,
    exponent            integer NOT NULL,
    "minPriceChangePpm" integer NOT NULL,
    "oraclePrice"       numeric,
    CONSTRAINT markets_pkey PRIMARY KEY (id),
    CONSTRAINT markets_pair_unique UNIQUE (pair)
);
CREATE INDEX markets_pair_index ON markets (pair);
COMMENT ON TABLE markets IS 'Pairs that have an oracle price.';
COMMENT ON COLUMN markets.id IS 'Number on the chain.';
COMMENT ON COLUMN markets.pair IS 'Name of the pair.';
COMMENT ON COLUMN markets.exponent IS 'Exponent of ten of the chain''s price.';
COMMENT ON COLUMN markets."minPriceChangePpm" IS 'Smallest change that is reported, in millionths.';
COMMENT ON COLUMN markets."oraclePrice" IS 'Latest oracle price.';

CREATE TABLE assets (
    id                 character varying(255) NOT NULL,
    "atomicResolution" integer NOT NULL,
    "hasMarket"        boolean NOT NULL,
    "marketId"         integer,
    symbol             character varying(255) NOT NULL,
    CONSTRAINT assets_pkey PRIMARY KEY (id),
    CONSTRAINT assets_symbol_unique UNIQUE (symbol),
    CONSTRAINT assets_marketid_foreign FOREIGN KEY ("marketId")
        REFERENCES markets (id)
);
CREATE INDEX assets_marketid_index ON assets ("marketId");
CREATE INDEX assets_symbol_index ON assets (symbol);
COMMENT ON TABLE assets IS 'Assets that subaccounts hold.';
COMMENT ON COLUMN assets.id IS 'Number on the chain, as text.';
COMMENT ON COLUMN assets."atomicResolution" IS 'Exponent of ten of one quantum.';
COMMENT ON COLUMN assets."hasMarket" IS 'Whether it has an oracle market.';
COMMENT ON COLUMN assets."marketId" IS 'Market that gives its oracle price.';
COMMENT ON COLUMN assets.symbol IS 'Short name.';

CREATE TABLE oracle_prices (
    id                  uuid NOT NULL,
    "marketId"          integer NOT NULL,
    price               numeric NOT NULL,
    "effectiveAt"       timestamp with time zone NOT NULL,
    "effectiveAtHeight" bigint NOT NULL,
    CONSTRAINT oracle_prices_pkey PRIMARY KEY (id),
    CONSTRAINT oracle_prices_effectiveatheight_foreign FOREIGN KEY ("effectiveAtHeight")
        REFERENCES blocks ("blockHeight"),
    CONSTRAINT oracle_prices_marketid_foreign FOREIGN KEY ("marketId")
        REFERENCES markets (id)
);
CREATE INDEX oracle_prices_market_height_desc_inc_price ON oracle_prices
    ("marketId", "effectiveAtHeight" DESC) INCLUDE (price);
CREATE INDEX oracle_prices_marketid_effectiveat_index ON oracle_prices ("marketId", "effectiveAt");
CREATE INDEX oracle_prices_marketid_effectiveatheight_index ON oracle_prices ("marketId", "effectiveAtHeight");
COMMENT ON TABLE oracle_prices IS 'Oracle price of a market at a height.';
COMMENT ON COLUMN oracle_prices.id IS 'UUID made of market and height.';
COMMENT ON COLUMN oracle_prices."marketId" IS 'Market that gives its oracle price.';
COMMENT ON COLUMN oracle_prices.price IS 'Price in quote currency.';
COMMENT ON COLUMN oracle_prices."effectiveAt" IS 'From when on it holds.';
COMMENT ON COLUMN oracle_prices."effectiveAtHeight" IS 'From which block on it holds.';

CREATE TABLE permission_approval (
    suborg_id text NOT NULL,
    chain_id  text NOT NULL,
    approval  text NOT NULL,
    CONSTRAINT permission_approval_pkey PRIMARY KEY (suborg_id, chain_id)
);
COMMENT ON TABLE permission_approval IS 'Approvals of sub-organisations for a chain.';
COMMENT ON COLUMN permission_approval.suborg_id IS 'Sub-organisation of the wallet provider.';
COMMENT ON COLUMN permission_approval.chain_id IS 'Chain.';
COMMENT ON COLUMN permission_approval.approval IS 'The approval.';

CREATE TABLE perpetual_markets (
    id                          bigint NOT NULL,
    "clobPairId"                bigint NOT NULL,
    ticker                      character varying(255) NOT NULL,
    "marketId"                  integer NOT NULL,
    status                      text NOT NULL,
    "priceChange24H"            numeric NOT NULL,
    "volume24H"                 numeric NOT NULL,
    "trades24H"                 integer NOT NULL,
    "nextFundingRate"           numeric NOT NULL,
    "openInterest"              numeric NOT NULL,
    "quantumConversionExponent" integer NOT NULL,
    "atomicResolution"          integer NOT NULL,
    "subticksPerTick"           integer NOT NULL,
    "stepBaseQuantums"          integer NOT NULL,
    "liquidityTierId"           integer NOT NULL DEFAULT 0,
    "marketType"                text NOT NULL DEFAULT 'CROSS'::text,
    "baseOpenInterest"          numeric DEFAULT '0'::numeric,
    "defaultFundingRate1H"      numeric DEFAULT '0'::numeric,
    CONSTRAINT perpetual_markets_pkey PRIMARY KEY (id),
    CONSTRAINT perpetual_markets_liquiditytierid_foreign FOREIGN KEY ("liquidityTierId")
        REFERENCES liquidity_tiers (id),
    CONSTRAINT perpetual_markets_marketid_foreign FOREIGN KEY ("marketId")
        REFERENCES markets (id),
    CONSTRAINT "perpetual_markets_marketType_check" CHECK ("marketType" IN ('CROSS', 'ISOLATED')),
    CONSTRAINT perpetual_markets_status_check CHECK (status IN ('ACTIVE', 'PAUSED', 'CANCEL_ONLY', 'POST_ONLY', 'INITIALIZING', 'FINAL_SETTLEMENT'))
);
COMMENT ON TABLE perpetual_markets IS 'Perpetual contracts that are traded, with their parameters and statistics.';
COMMENT ON COLUMN perpetual_markets.id IS 'Number on the chain.';
COMMENT ON COLUMN perpetual_markets."clobPairId" IS 'Number of the order book.';
COMMENT ON COLUMN perpetual_markets.ticker IS 'Name of the market, such as BTC-USD.';
COMMENT ON COLUMN perpetual_markets."marketId" IS 'Market that gives its oracle price.';
COMMENT ON COLUMN perpetual_markets.status IS 'Its state.';
COMMENT ON COLUMN perpetual_markets."priceChange24H" IS 'Change of the price over 24 hours.';
COMMENT ON COLUMN perpetual_markets."volume24H" IS 'Volume of 24 hours in quote currency.';
COMMENT ON COLUMN perpetual_markets."trades24H" IS 'Trades of 24 hours.';
COMMENT ON COLUMN perpetual_markets."nextFundingRate" IS 'Expected next funding rate.';
COMMENT ON COLUMN perpetual_markets."openInterest" IS 'Open interest.';
COMMENT ON COLUMN perpetual_markets."quantumConversionExponent" IS 'Exponent of ten that relates base and quote quantums.';
COMMENT ON COLUMN perpetual_markets."atomicResolution" IS 'Exponent of ten of one quantum.';
COMMENT ON COLUMN perpetual_markets."subticksPerTick" IS 'Price step in subticks.';
COMMENT ON COLUMN perpetual_markets."stepBaseQuantums" IS 'Size step in quantums.';
COMMENT ON COLUMN perpetual_markets."liquidityTierId" IS 'Its liquidity tier.';
COMMENT ON COLUMN perpetual_markets."marketType" IS 'Cross or isolated margin.';
COMMENT ON COLUMN perpetual_markets."baseOpenInterest" IS 'Open interest that the chain reports.';
COMMENT ON COLUMN perpetual_markets."defaultFundingRate1H" IS 'Funding rate of one hour without premium.';

CREATE TABLE persistent_cache (
    key   character varying(255) NOT NULL,
    value character varying(255) NOT NULL,
    CONSTRAINT persistent_cache_pkey PRIMARY KEY (key)
);
COMMENT ON TABLE persistent_cache IS 'Progress of jobs that must survive a restart.';
COMMENT ON COLUMN persistent_cache.key IS 'Name.';
COMMENT ON COLUMN persistent_cache.value IS 'Value.';

CREATE TABLE subaccounts (
    id                 uuid NOT NULL,
    address            character varying(255) NOT NULL,
    "subaccountNumber" integer NOT NULL,
    "updatedAt"        timestamp with time zone NOT NULL,
    "updatedAtHeight"  bigint NOT NULL,
    CONSTRAINT subaccounts_pkey PRIMARY KEY (id)
);
CREATE INDEX subaccounts_address_subaccountnumber_index ON subaccounts (address, "subaccountNumber") INCLUDE (id);
CREATE INDEX subaccounts_updatedat_index ON subaccounts ("updatedAt");
COMMENT ON TABLE subaccounts IS 'Trading accounts of an address.';
COMMENT ON COLUMN subaccounts.id IS 'UUID made of address and number.';
COMMENT ON COLUMN subaccounts.address IS 'Address on the chain.';
COMMENT ON COLUMN subaccounts."subaccountNumber" IS 'Number below the address.';
COMMENT ON COLUMN subaccounts."updatedAt" IS 'When it was last changed.';
COMMENT ON COLUMN subaccounts."updatedAtHeight" IS 'Block in which it was last changed.';

CREATE TABLE asset_positions (
    id             uuid NOT NULL,
    "assetId"      character varying(255) NOT NULL,
    "subaccountId" uuid NOT NULL,
    size           numeric NOT NULL,
    "isLong"       boolean NOT NULL,
    CONSTRAINT asset_positions_pkey PRIMARY KEY (id),
    CONSTRAINT asset_positions_assetid_foreign FOREIGN KEY ("assetId")
        REFERENCES assets (id),
    CONSTRAINT asset_positions_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id)
);
CREATE INDEX asset_positions_subaccountid_assetid_index ON asset_positions ("subaccountId", "assetId");
CREATE INDEX asset_positions_subaccountid_index ON asset_positions ("subaccountId");
COMMENT ON TABLE asset_positions IS 'Balance of an asset in a subaccount.';
COMMENT ON COLUMN asset_positions.id IS 'UUID made of subaccount and asset.';
COMMENT ON COLUMN asset_positions."assetId" IS 'Its asset.';
COMMENT ON COLUMN asset_positions."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN asset_positions.size IS 'Amount, in units of the market or asset.';
COMMENT ON COLUMN asset_positions."isLong" IS 'Whether it is a credit.';

CREATE TABLE funding_payments (
    "subaccountId"    uuid NOT NULL,
    "createdAt"       timestamp with time zone NOT NULL,
    "createdAtHeight" bigint NOT NULL,
    "perpetualId"     bigint NOT NULL,
    ticker            text NOT NULL,
    "oraclePrice"     numeric NOT NULL,
    size              numeric NOT NULL,
    side              text NOT NULL,
    rate              numeric NOT NULL,
    payment           numeric NOT NULL,
    "fundingIndex"    numeric NOT NULL,
    CONSTRAINT funding_payments_pkey PRIMARY KEY ("subaccountId", "createdAt", ticker),
    CONSTRAINT funding_payments_perpetualid_foreign FOREIGN KEY ("perpetualId")
        REFERENCES perpetual_markets (id),
    CONSTRAINT funding_payments_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id),
    CONSTRAINT funding_payments_side_check CHECK (side IN ('LONG', 'SHORT'))
);
CREATE INDEX funding_payments_createdatheight_index ON funding_payments ("createdAtHeight");
COMMENT ON TABLE funding_payments IS 'Funding that a subaccount paid or received.';
COMMENT ON COLUMN funding_payments."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN funding_payments."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN funding_payments."createdAtHeight" IS 'Block in which it came to be.';
COMMENT ON COLUMN funding_payments."perpetualId" IS 'Its perpetual market.';
COMMENT ON COLUMN funding_payments.ticker IS 'Name of the market, such as BTC-USD.';
COMMENT ON COLUMN funding_payments."oraclePrice" IS 'Oracle price at that moment.';
COMMENT ON COLUMN funding_payments.size IS 'Amount, in units of the market or asset.';
COMMENT ON COLUMN funding_payments.side IS 'Which side it is on.';
COMMENT ON COLUMN funding_payments.rate IS 'Funding rate.';
COMMENT ON COLUMN funding_payments.payment IS 'What was paid (negative) or received.';
COMMENT ON COLUMN funding_payments."fundingIndex" IS 'Cumulative funding per unit.';

CREATE TABLE orders (
    id                   uuid NOT NULL,
    "subaccountId"       uuid NOT NULL,
    "clientId"           bigint NOT NULL,
    "clobPairId"         bigint NOT NULL,
    side                 text NOT NULL,
    size                 numeric NOT NULL,
    "totalFilled"        numeric NOT NULL,
    price                numeric NOT NULL,
    type                 text NOT NULL,
    status               text NOT NULL,
    "timeInForce"        text NOT NULL,
    "reduceOnly"         boolean NOT NULL,
    "orderFlags"         bigint NOT NULL,
    "goodTilBlock"       bigint,
    "goodTilBlockTime"   timestamp with time zone,
    "createdAtHeight"    bigint,
    "clientMetadata"     bigint NOT NULL,
    "triggerPrice"       numeric,
    "updatedAt"          timestamp with time zone,
    "updatedAtHeight"    bigint,
    duration             character varying(255),
    interval             character varying(255),
    "priceTolerance"     character varying(255),
    "builderAddress"     character varying(255),
    "feePpm"             character varying(255),
    "orderRouterAddress" character varying(255),
    "createdAt"          timestamp with time zone,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id),
    CONSTRAINT good_til_block_or_good_til_block_time_non_null CHECK (("goodTilBlock" IS NULL AND "goodTilBlockTime" IS NOT NULL) OR ("goodTilBlock" IS NOT NULL AND "goodTilBlockTime" IS NULL)),
    CONSTRAINT orders_side_check CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT "orders_timeInForce_check" CHECK ("timeInForce" IN ('GTT', 'FOK', 'IOC', 'POST_ONLY'))
);
ALTER TABLE orders ADD CONSTRAINT orders_status_check CHECK (status IN ('OPEN', 'FILLED', 'CANCELED', 'BEST_EFFORT_CANCELED', 'UNTRIGGERED')) NOT VALID;
ALTER TABLE orders ADD CONSTRAINT orders_type_check CHECK (type IN ('LIMIT', 'MARKET', 'STOP_LIMIT', 'STOP_MARKET', 'TRAILING_STOP', 'TAKE_PROFIT',
    'TAKE_PROFIT_MARKET', 'LIQUIDATED', 'LIQUIDATION', 'HARD_TRADE', 'FAILED_HARD_TRADE',
    'TRANSFER_PLACEHOLDER', 'TWAP', 'TWAP_SUBORDER')) NOT VALID;
CREATE INDEX orders_clobpairid_subaccountid_index ON orders ("clobPairId", "subaccountId");
CREATE INDEX orders_open_shortterm_idx ON orders ("goodTilBlock")
    WHERE status = 'OPEN' AND "orderFlags" = 0 AND "goodTilBlock" IS NOT NULL;
CREATE INDEX orders_subaccountid_index ON orders ("subaccountId");
CREATE INDEX orders_subaccountid_status_goodtilblock_goodtilblocktime_index ON orders
    ("subaccountId", status, "goodTilBlock" DESC, "goodTilBlockTime" DESC);
COMMENT ON TABLE orders IS 'Orders that were seen on the chain or by an indexer.';
COMMENT ON COLUMN orders.id IS 'UUID made of subaccount, client id, order book and flags.';
COMMENT ON COLUMN orders."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN orders."clientId" IS 'Number that the client gave.';
COMMENT ON COLUMN orders."clobPairId" IS 'Number of the order book.';
COMMENT ON COLUMN orders.side IS 'Which side it is on.';
COMMENT ON COLUMN orders.size IS 'Amount, in units of the market or asset.';
COMMENT ON COLUMN orders."totalFilled" IS 'Amount that was filled so far.';
COMMENT ON COLUMN orders.price IS 'Price in quote currency.';
COMMENT ON COLUMN orders.type IS 'Its kind.';
COMMENT ON COLUMN orders.status IS 'Its state.';
COMMENT ON COLUMN orders."timeInForce" IS 'How long it stays.';
COMMENT ON COLUMN orders."reduceOnly" IS 'Whether it may only make a position smaller.';
COMMENT ON COLUMN orders."orderFlags" IS '0 short-term, 32 conditional, 64 long-term, 128 twap, 256 part of a twap.';
COMMENT ON COLUMN orders."goodTilBlock" IS 'Last block in which it is valid.';
COMMENT ON COLUMN orders."goodTilBlockTime" IS 'Time until which it is valid.';
COMMENT ON COLUMN orders."createdAtHeight" IS 'Block in which it was placed, for stateful ones.';
COMMENT ON COLUMN orders."clientMetadata" IS 'Number that the client attached.';
COMMENT ON COLUMN orders."triggerPrice" IS 'Price at which a conditional order is placed.';
COMMENT ON COLUMN orders."updatedAt" IS 'When it was last changed.';
COMMENT ON COLUMN orders."updatedAtHeight" IS 'Block in which it was last changed.';
COMMENT ON COLUMN orders.duration IS 'Length of a twap in seconds.';
COMMENT ON COLUMN orders.interval IS 'Seconds between the parts of a twap.';
COMMENT ON COLUMN orders."priceTolerance" IS 'Tolerance of a twap in millionths.';
COMMENT ON COLUMN orders."builderAddress" IS 'Address of the front end that built the order.';
COMMENT ON COLUMN orders."feePpm" IS 'Fee for the builder in millionths.';
COMMENT ON COLUMN orders."orderRouterAddress" IS 'Address of the router that passed the order on.';
COMMENT ON COLUMN orders."createdAt" IS 'When it came to be.';

CREATE TABLE pnl (
    "subaccountId"    uuid NOT NULL,
    "createdAt"       timestamp with time zone NOT NULL,
    "createdAtHeight" bigint NOT NULL,
    equity            numeric NOT NULL,
    "netTransfers"    numeric NOT NULL,
    "totalPnl"        numeric NOT NULL,
    CONSTRAINT pnl_pkey PRIMARY KEY ("subaccountId", "createdAt"),
    CONSTRAINT pnl_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id)
);
CREATE INDEX pnl_createdatheight_index ON pnl ("createdAtHeight");
COMMENT ON TABLE pnl IS 'Hourly profit and loss of a subaccount, from funding payments and fills.';
COMMENT ON COLUMN pnl."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN pnl."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN pnl."createdAtHeight" IS 'Block in which it came to be.';
COMMENT ON COLUMN pnl.equity IS 'Worth of the subaccount.';
COMMENT ON COLUMN pnl."netTransfers" IS 'What came in minus what went out.';
COMMENT ON COLUMN pnl."totalPnl" IS 'Profit and loss since the beginning.';

CREATE TABLE pnl_ticks (
    id             uuid NOT NULL,
    "subaccountId" uuid NOT NULL,
    equity         numeric NOT NULL,
    "totalPnl"     numeric NOT NULL,
    "netTransfers" numeric NOT NULL,
    "createdAt"    timestamp with time zone NOT NULL,
    "blockHeight"  bigint NOT NULL,
    "blockTime"    timestamp with time zone NOT NULL,
    CONSTRAINT pnl_ticks_pkey PRIMARY KEY (id),
    CONSTRAINT pnl_ticks_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id)
);
CREATE INDEX pnl_ticks_blocktime_index ON pnl_ticks ("blockTime");
CREATE INDEX pnl_ticks_createdat_index ON pnl_ticks ("createdAt");
CREATE INDEX pnl_ticks_subaccountid_createdat_index ON pnl_ticks ("subaccountId", "createdAt");
CREATE INDEX pnl_ticks_subaccountid_index ON pnl_ticks ("subaccountId");
COMMENT ON TABLE pnl_ticks IS 'Profit and loss of a subaccount at a block.';
COMMENT ON COLUMN pnl_ticks.id IS 'UUID made of subaccount and creation time.';
COMMENT ON COLUMN pnl_ticks."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN pnl_ticks.equity IS 'Worth of the subaccount.';
COMMENT ON COLUMN pnl_ticks."totalPnl" IS 'Profit and loss since the beginning.';
COMMENT ON COLUMN pnl_ticks."netTransfers" IS 'What came in minus what went out.';
COMMENT ON COLUMN pnl_ticks."createdAt" IS 'When it was computed.';
COMMENT ON COLUMN pnl_ticks."blockHeight" IS 'Its block.';
COMMENT ON COLUMN pnl_ticks."blockTime" IS 'Time of its block.';

CREATE TABLE subaccount_usernames (
    username       character varying(255) NOT NULL,
    "subaccountId" uuid NOT NULL,
    CONSTRAINT subaccount_usernames_pkey PRIMARY KEY (username),
    CONSTRAINT subaccount_usernames_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id)
);
COMMENT ON TABLE subaccount_usernames IS 'Generated names of subaccounts.';
COMMENT ON COLUMN subaccount_usernames.username IS 'The name.';
COMMENT ON COLUMN subaccount_usernames."subaccountId" IS 'Its subaccount.';

CREATE TABLE tendermint_events (
    id                 bytea NOT NULL,
    "blockHeight"      bigint NOT NULL,
    "transactionIndex" integer NOT NULL,
    "eventIndex"       integer NOT NULL,
    CONSTRAINT tendermint_events_pkey PRIMARY KEY (id),
    CONSTRAINT tendermint_events_blockheight_foreign FOREIGN KEY ("blockHeight")
        REFERENCES blocks ("blockHeight")
);
CREATE INDEX tendermint_events_blockheight_transactionindex_index ON tendermint_events
    ("blockHeight", "transactionIndex");
COMMENT ON TABLE tendermint_events IS 'Events of blocks, in order.';
COMMENT ON COLUMN tendermint_events.id IS 'Height, transaction and event index, 12 bytes, in order.';
COMMENT ON COLUMN tendermint_events."blockHeight" IS 'Its block.';
COMMENT ON COLUMN tendermint_events."transactionIndex" IS 'Place of the transaction in the block; negative ones are block events.';
COMMENT ON COLUMN tendermint_events."eventIndex" IS 'Place of the event in its transaction.';

CREATE TABLE fills (
    id                   uuid NOT NULL,
    "subaccountId"       uuid NOT NULL,
    side                 text NOT NULL,
    liquidity            text NOT NULL,
    type                 text NOT NULL,
    "clobPairId"         bigint NOT NULL,
    "orderId"            uuid,
    size                 numeric NOT NULL,
    price                numeric NOT NULL,
    "quoteAmount"        numeric NOT NULL,
    "eventId"            bytea NOT NULL,
    "transactionHash"    character varying(255) NOT NULL,
    "createdAt"          timestamp with time zone NOT NULL,
    "createdAtHeight"    bigint NOT NULL,
    "clientMetadata"     bigint,
    fee                  character varying(255) NOT NULL DEFAULT '0'::character varying,
    "affiliateRevShare"  numeric NOT NULL DEFAULT '0'::numeric,
    "builderAddress"     character varying(255),
    "builderFee"         character varying(255),
    "orderRouterAddress" character varying(255),
    "orderRouterFee"     character varying(255),
    "positionSizeBefore" numeric,
    "entryPriceBefore"   numeric,
    "positionSideBefore" text,
    CONSTRAINT fills_pkey PRIMARY KEY (id),
    CONSTRAINT fills_createdatheight_foreign FOREIGN KEY ("createdAtHeight")
        REFERENCES blocks ("blockHeight"),
    CONSTRAINT fills_eventid_foreign FOREIGN KEY ("eventId")
        REFERENCES tendermint_events (id),
    CONSTRAINT fills_orderid_foreign FOREIGN KEY ("orderId")
        REFERENCES orders (id),
    CONSTRAINT fills_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id),
    CONSTRAINT fills_liquidity_check CHECK (liquidity IN ('TAKER', 'MAKER')),
    CONSTRAINT "fills_positionSideBefore_check" CHECK ("positionSideBefore" IN ('LONG', 'SHORT')),
    CONSTRAINT fills_side_check CHECK (side IN ('BUY', 'SELL'))
);
ALTER TABLE fills ADD CONSTRAINT fills_type_check CHECK (type IN ('LIMIT', 'LIQUIDATED', 'LIQUIDATION', 'DELEVERAGED', 'OFFSETTING', 'TWAP_SUBORDER')) NOT VALID;
CREATE INDEX "fills_clobPairId_createdAtHeight_createdAt_partial" ON fills
    ("clobPairId", "createdAtHeight", "createdAt")
    WHERE liquidity = 'TAKER';
CREATE INDEX "fills_clobPairId_createdAtHeight_partial" ON fills ("clobPairId", "createdAtHeight")
    WHERE liquidity = 'TAKER';
CREATE INDEX fills_createdat_index ON fills ("createdAt");
CREATE INDEX fills_createdatheight_index ON fills ("createdAtHeight");
CREATE INDEX fills_subaccountid_clobpairid_index ON fills ("subaccountId", "clobPairId");
CREATE INDEX fills_subaccountid_createdatheight_index ON fills ("subaccountId", "createdAtHeight");
COMMENT ON TABLE fills IS 'Executed parts of orders, one row for each side.';
COMMENT ON COLUMN fills.id IS 'UUID made of event and liquidity.';
COMMENT ON COLUMN fills."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN fills.side IS 'Which side it is on.';
COMMENT ON COLUMN fills.liquidity IS 'Whether it took from the book or made it.';
COMMENT ON COLUMN fills.type IS 'Its kind.';
COMMENT ON COLUMN fills."clobPairId" IS 'Number of the order book.';
COMMENT ON COLUMN fills."orderId" IS 'Its order; none for liquidations.';
COMMENT ON COLUMN fills.size IS 'Amount, in units of the market or asset.';
COMMENT ON COLUMN fills.price IS 'Price in quote currency.';
COMMENT ON COLUMN fills."quoteAmount" IS 'Size times price.';
COMMENT ON COLUMN fills."eventId" IS 'Event of the chain that caused it.';
COMMENT ON COLUMN fills."transactionHash" IS 'Transaction that caused it, if one did.';
COMMENT ON COLUMN fills."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN fills."createdAtHeight" IS 'Block in which it came to be.';
COMMENT ON COLUMN fills."clientMetadata" IS 'Number that the client attached.';
COMMENT ON COLUMN fills.fee IS 'Fee in quote currency, a number as text.';
COMMENT ON COLUMN fills."affiliateRevShare" IS 'Share of the fee that goes to the affiliate.';
COMMENT ON COLUMN fills."builderAddress" IS 'Address of the front end that built the order.';
COMMENT ON COLUMN fills."builderFee" IS 'Fee for the builder, a number as text.';
COMMENT ON COLUMN fills."orderRouterAddress" IS 'Address of the router that passed the order on.';
COMMENT ON COLUMN fills."orderRouterFee" IS 'Fee for the router, a number as text.';
COMMENT ON COLUMN fills."positionSizeBefore" IS 'Size of the position before this fill.';
COMMENT ON COLUMN fills."entryPriceBefore" IS 'Entry price of the position before this fill.';
COMMENT ON COLUMN fills."positionSideBefore" IS 'Side of the position before this fill.';

CREATE TABLE funding_index_updates (
    id                  uuid NOT NULL,
    "perpetualId"       bigint NOT NULL,
    "eventId"           bytea NOT NULL,
    rate                numeric NOT NULL,
    "oraclePrice"       numeric NOT NULL,
    "fundingIndex"      numeric NOT NULL,
    "effectiveAt"       timestamp with time zone NOT NULL,
    "effectiveAtHeight" bigint NOT NULL,
    CONSTRAINT funding_index_updates_pkey PRIMARY KEY (id),
    CONSTRAINT funding_index_updates_effectiveatheight_foreign FOREIGN KEY ("effectiveAtHeight")
        REFERENCES blocks ("blockHeight"),
    CONSTRAINT funding_index_updates_eventid_foreign FOREIGN KEY ("eventId")
        REFERENCES tendermint_events (id),
    CONSTRAINT funding_index_updates_perpetualid_foreign FOREIGN KEY ("perpetualId")
        REFERENCES perpetual_markets (id)
);
CREATE INDEX funding_index_updates_effectiveatheight_index ON funding_index_updates ("effectiveAtHeight");
CREATE INDEX funding_index_updates_perpetualid_index ON funding_index_updates ("perpetualId");
COMMENT ON TABLE funding_index_updates IS 'Funding index of a perpetual at a height.';
COMMENT ON COLUMN funding_index_updates.id IS 'UUID.';
COMMENT ON COLUMN funding_index_updates."perpetualId" IS 'Its perpetual market.';
COMMENT ON COLUMN funding_index_updates."eventId" IS 'Event of the chain that caused it.';
COMMENT ON COLUMN funding_index_updates.rate IS 'Funding rate.';
COMMENT ON COLUMN funding_index_updates."oraclePrice" IS 'Oracle price at that moment.';
COMMENT ON COLUMN funding_index_updates."fundingIndex" IS 'Cumulative funding per unit.';
COMMENT ON COLUMN funding_index_updates."effectiveAt" IS 'From when on it holds.';
COMMENT ON COLUMN funding_index_updates."effectiveAtHeight" IS 'From which block on it holds.';

CREATE TABLE perpetual_positions (
    id                 uuid NOT NULL,
    "subaccountId"     uuid NOT NULL,
    "perpetualId"      bigint NOT NULL,
    side               text NOT NULL,
    status             text NOT NULL,
    size               numeric NOT NULL,
    "maxSize"          numeric NOT NULL,
    "entryPrice"       numeric NOT NULL,
    "exitPrice"        numeric,
    "sumOpen"          numeric NOT NULL,
    "sumClose"         numeric NOT NULL,
    "createdAt"        timestamp with time zone NOT NULL,
    "closedAt"         timestamp with time zone,
    "createdAtHeight"  bigint NOT NULL,
    "closedAtHeight"   bigint,
    "openEventId"      bytea NOT NULL,
    "closeEventId"     bytea,
    "lastEventId"      bytea NOT NULL,
    "settledFunding"   numeric NOT NULL,
    "totalRealizedPnl" numeric,
    CONSTRAINT perpetual_positions_pkey PRIMARY KEY (id),
    CONSTRAINT perpetual_positions_closeeventid_foreign FOREIGN KEY ("closeEventId")
        REFERENCES tendermint_events (id),
    CONSTRAINT perpetual_positions_lasteventid_foreign FOREIGN KEY ("lastEventId")
        REFERENCES tendermint_events (id),
    CONSTRAINT perpetual_positions_openeventid_foreign FOREIGN KEY ("openEventId")
        REFERENCES tendermint_events (id),
    CONSTRAINT perpetual_positions_perpetualid_foreign FOREIGN KEY ("perpetualId")
        REFERENCES perpetual_markets (id),
    CONSTRAINT perpetual_positions_subaccountid_foreign FOREIGN KEY ("subaccountId")
        REFERENCES subaccounts (id),
    CONSTRAINT perpetual_positions_side_check CHECK (side IN ('LONG', 'SHORT')),
    CONSTRAINT perpetual_positions_status_check CHECK (status IN ('OPEN', 'CLOSED', 'LIQUIDATED'))
);
CREATE INDEX perpetual_positions_oi_open_idx ON perpetual_positions ("perpetualId", side) INCLUDE (size)
    WHERE status = 'OPEN';
CREATE INDEX perpetual_positions_perpetualid_status_index ON perpetual_positions ("perpetualId", status);
CREATE INDEX "perpetual_positions_subaccountId_perpetualId_openEventId_index" ON perpetual_positions
    ("subaccountId", "perpetualId", "openEventId" DESC);
CREATE INDEX perpetual_positions_subaccount_perpetual_created_at_index ON perpetual_positions
    ("subaccountId", "createdAtHeight", "perpetualId");
CREATE INDEX perpetual_positions_subaccountid_createdat_index ON perpetual_positions ("subaccountId", "createdAt");
CREATE INDEX perpetual_positions_subaccountid_status_index ON perpetual_positions ("subaccountId", status);
COMMENT ON TABLE perpetual_positions IS 'Positions of subaccounts in perpetuals, open and closed.';
COMMENT ON COLUMN perpetual_positions.id IS 'UUID made of subaccount and opening event.';
COMMENT ON COLUMN perpetual_positions."subaccountId" IS 'Its subaccount.';
COMMENT ON COLUMN perpetual_positions."perpetualId" IS 'Its perpetual market.';
COMMENT ON COLUMN perpetual_positions.side IS 'Which side it is on.';
COMMENT ON COLUMN perpetual_positions.status IS 'Its state.';
COMMENT ON COLUMN perpetual_positions.size IS 'Size, negative when short.';
COMMENT ON COLUMN perpetual_positions."maxSize" IS 'Largest size it had.';
COMMENT ON COLUMN perpetual_positions."entryPrice" IS 'Average price of its opening trades.';
COMMENT ON COLUMN perpetual_positions."exitPrice" IS 'Average price of its closing trades.';
COMMENT ON COLUMN perpetual_positions."sumOpen" IS 'Amount opened.';
COMMENT ON COLUMN perpetual_positions."sumClose" IS 'Amount closed.';
COMMENT ON COLUMN perpetual_positions."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN perpetual_positions."closedAt" IS 'When it was closed.';
COMMENT ON COLUMN perpetual_positions."createdAtHeight" IS 'Block in which it came to be.';
COMMENT ON COLUMN perpetual_positions."closedAtHeight" IS 'Block in which it was closed.';
COMMENT ON COLUMN perpetual_positions."openEventId" IS 'Event that opened it.';
COMMENT ON COLUMN perpetual_positions."closeEventId" IS 'Event that closed it.';
COMMENT ON COLUMN perpetual_positions."lastEventId" IS 'Last event that changed it.';
COMMENT ON COLUMN perpetual_positions."settledFunding" IS 'Funding settled so far.';
COMMENT ON COLUMN perpetual_positions."totalRealizedPnl" IS 'Profit and loss realised so far.';

CREATE TABLE transactions (
    id                 uuid NOT NULL,
    "blockHeight"      bigint NOT NULL,
    "transactionIndex" integer NOT NULL,
    "transactionHash"  character varying(255) NOT NULL,
    CONSTRAINT transactions_pkey PRIMARY KEY (id)
);
CREATE INDEX transactions_blockheight_transactionindex_index ON transactions ("blockHeight", "transactionIndex");
COMMENT ON TABLE transactions IS 'Transactions of blocks.';
COMMENT ON COLUMN transactions.id IS 'UUID made of height and index.';
COMMENT ON COLUMN transactions."blockHeight" IS 'Its block.';
COMMENT ON COLUMN transactions."transactionIndex" IS 'Place of the transaction in the block; negative ones are block events.';
COMMENT ON COLUMN transactions."transactionHash" IS 'Its hash.';

CREATE TABLE turnkey_users (
    suborg_id             text NOT NULL,
    email                 text,
    svm_address           text NOT NULL,
    evm_address           text NOT NULL,
    salt                  text NOT NULL,
    dydx_address          text,
    created_at            timestamp with time zone NOT NULL,
    smart_account_address text,
    CONSTRAINT turnkey_users_pkey PRIMARY KEY (suborg_id),
    CONSTRAINT turnkey_users_dydx_address_unique UNIQUE (dydx_address),
    CONSTRAINT turnkey_users_email_unique UNIQUE (email),
    CONSTRAINT turnkey_users_evm_address_unique UNIQUE (evm_address),
    CONSTRAINT turnkey_users_smart_account_address_unique UNIQUE (smart_account_address),
    CONSTRAINT turnkey_users_svm_address_unique UNIQUE (svm_address)
);
CREATE INDEX idx_turnkey_users_email ON turnkey_users (email);
CREATE INDEX idx_turnkey_users_evm_address ON turnkey_users (evm_address);
CREATE INDEX idx_turnkey_users_svm_address ON turnkey_users (svm_address);
COMMENT ON TABLE turnkey_users IS 'Users whose keys an embedded wallet keeps.';
COMMENT ON COLUMN turnkey_users.suborg_id IS 'Sub-organisation of the wallet provider.';
COMMENT ON COLUMN turnkey_users.email IS 'E-mail address.';
COMMENT ON COLUMN turnkey_users.svm_address IS 'Address on SVM chains.';
COMMENT ON COLUMN turnkey_users.evm_address IS 'Address on EVM chains.';
COMMENT ON COLUMN turnkey_users.salt IS 'Salt.';
COMMENT ON COLUMN turnkey_users.dydx_address IS 'Address on this chain.';
COMMENT ON COLUMN turnkey_users.created_at IS 'When it came to be.';
COMMENT ON COLUMN turnkey_users.smart_account_address IS 'Address of the smart account.';

CREATE TABLE vaults (
    address      character varying(255) NOT NULL,
    "clobPairId" bigint NOT NULL,
    status       text NOT NULL,
    "createdAt"  timestamp with time zone NOT NULL,
    "updatedAt"  timestamp with time zone NOT NULL,
    CONSTRAINT vaults_pkey PRIMARY KEY (address),
    CONSTRAINT vaults_status_check CHECK (status IN ('DEACTIVATED', 'STAND_BY', 'QUOTING', 'CLOSE_ONLY'))
);
COMMENT ON TABLE vaults IS 'Vaults that provide liquidity.';
COMMENT ON COLUMN vaults.address IS 'Address of the vault.';
COMMENT ON COLUMN vaults."clobPairId" IS 'Number of the order book.';
COMMENT ON COLUMN vaults.status IS 'Its state.';
COMMENT ON COLUMN vaults."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN vaults."updatedAt" IS 'When it was last changed.';

CREATE TABLE wallets (
    address               character varying(255) NOT NULL,
    "totalTradingRewards" numeric(27,18) NOT NULL,
    "totalVolume"         numeric NOT NULL DEFAULT '0'::numeric,
    CONSTRAINT wallets_pkey PRIMARY KEY (address)
);
COMMENT ON TABLE wallets IS 'Addresses with their lifetime totals.';
COMMENT ON COLUMN wallets.address IS 'Address on the chain.';
COMMENT ON COLUMN wallets."totalTradingRewards" IS 'Trading rewards of all time.';
COMMENT ON COLUMN wallets."totalVolume" IS 'Traded volume of all time.';

CREATE TABLE firebase_notification_tokens (
    id          serial,
    token       character varying(255) NOT NULL,
    address     character varying(255) NOT NULL,
    language    character varying(255) NOT NULL,
    "updatedAt" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT firebase_notification_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT firebase_notification_tokens_token_unique UNIQUE (token),
    CONSTRAINT firebase_notification_tokens_address_foreign FOREIGN KEY (address)
        REFERENCES wallets (address) ON DELETE CASCADE
);
COMMENT ON TABLE firebase_notification_tokens IS 'Devices that receive push messages.';
COMMENT ON COLUMN firebase_notification_tokens.id IS 'Running number.';
COMMENT ON COLUMN firebase_notification_tokens.token IS 'Token of the device.';
COMMENT ON COLUMN firebase_notification_tokens.address IS 'Wallet that it belongs to.';
COMMENT ON COLUMN firebase_notification_tokens.language IS 'Language of the messages.';
COMMENT ON COLUMN firebase_notification_tokens."updatedAt" IS 'When it was last changed.';

CREATE TABLE leaderboard_pnl (
    address         character varying(255) NOT NULL,
    "timeSpan"      text NOT NULL,
    pnl             character varying(255) NOT NULL,
    "currentEquity" character varying(255) NOT NULL,
    rank            integer NOT NULL,
    CONSTRAINT leaderboard_pnl_pkey PRIMARY KEY (address, "timeSpan"),
    CONSTRAINT leaderboard_pnl_address_foreign FOREIGN KEY (address)
        REFERENCES wallets (address),
    CONSTRAINT "leaderboard_pnl_timeSpan_check" CHECK ("timeSpan" IN ('ONE_DAY', 'SEVEN_DAYS', 'THIRTY_DAYS', 'ONE_YEAR', 'ALL_TIME'))
);
CREATE INDEX leaderboard_pnl_rank_timespan_index ON leaderboard_pnl (rank, "timeSpan");
COMMENT ON TABLE leaderboard_pnl IS 'Ranks of addresses by profit and loss over a span of time.';
COMMENT ON COLUMN leaderboard_pnl.address IS 'Address on the chain.';
COMMENT ON COLUMN leaderboard_pnl."timeSpan" IS 'Span of time.';
COMMENT ON COLUMN leaderboard_pnl.pnl IS 'Profit and loss, a number as text.';
COMMENT ON COLUMN leaderboard_pnl."currentEquity" IS 'Worth now, a number as text.';
COMMENT ON COLUMN leaderboard_pnl.rank IS 'Place.';

CREATE TABLE trading_reward_aggregations (
    id                uuid NOT NULL,
    address           character varying(255) NOT NULL,
    "startedAt"       timestamp with time zone NOT NULL,
    "startedAtHeight" bigint NOT NULL,
    "endedAt"         timestamp with time zone,
    "endedAtHeight"   bigint,
    period            text NOT NULL,
    amount            numeric(27,18) NOT NULL,
    CONSTRAINT trading_reward_aggregations_pkey PRIMARY KEY (id),
    CONSTRAINT trading_reward_aggregations_address_foreign FOREIGN KEY (address)
        REFERENCES wallets (address),
    CONSTRAINT trading_reward_aggregations_startedatheight_foreign FOREIGN KEY ("startedAtHeight")
        REFERENCES blocks ("blockHeight"),
    CONSTRAINT trading_reward_aggregations_period_check CHECK (period IN ('DAILY', 'WEEKLY', 'MONTHLY'))
);
CREATE INDEX trading_reward_aggregations_address_startedatheight_index ON trading_reward_aggregations
    (address, "startedAtHeight");
CREATE INDEX trading_reward_aggregations_period_startedatheight_index ON trading_reward_aggregations
    (period, "startedAtHeight");
COMMENT ON TABLE trading_reward_aggregations IS 'Trading rewards of an address summed over a day, week or month.';
COMMENT ON COLUMN trading_reward_aggregations.id IS 'UUID made of address, period and start.';
COMMENT ON COLUMN trading_reward_aggregations.address IS 'Address on the chain.';
COMMENT ON COLUMN trading_reward_aggregations."startedAt" IS 'Begin of the period.';
COMMENT ON COLUMN trading_reward_aggregations."startedAtHeight" IS 'First block of the period.';
COMMENT ON COLUMN trading_reward_aggregations."endedAt" IS 'End of the period, when it is over.';
COMMENT ON COLUMN trading_reward_aggregations."endedAtHeight" IS 'Last block of the period, when it is over.';
COMMENT ON COLUMN trading_reward_aggregations.period IS 'Length of the period.';
COMMENT ON COLUMN trading_reward_aggregations.amount IS 'Amount.';

CREATE TABLE trading_rewards (
    id            uuid NOT NULL,
    address       character varying(255) NOT NULL,
    "blockTime"   timestamp with time zone NOT NULL,
    "blockHeight" bigint NOT NULL,
    amount        numeric(27,18) NOT NULL,
    CONSTRAINT trading_rewards_pkey PRIMARY KEY (id),
    CONSTRAINT trading_rewards_address_foreign FOREIGN KEY (address)
        REFERENCES wallets (address)
);
CREATE INDEX trading_rewards_address_index ON trading_rewards (address);
CREATE INDEX trading_rewards_blockheight_index ON trading_rewards ("blockHeight");
CREATE INDEX trading_rewards_blocktime_index ON trading_rewards ("blockTime");
COMMENT ON TABLE trading_rewards IS 'Trading rewards of an address at a block.';
COMMENT ON COLUMN trading_rewards.id IS 'UUID made of address and height.';
COMMENT ON COLUMN trading_rewards.address IS 'Address on the chain.';
COMMENT ON COLUMN trading_rewards."blockTime" IS 'Time of its block.';
COMMENT ON COLUMN trading_rewards."blockHeight" IS 'Its block.';
COMMENT ON COLUMN trading_rewards.amount IS 'Amount.';

CREATE TABLE transfers (
    id                       uuid NOT NULL,
    "senderSubaccountId"     uuid,
    "recipientSubaccountId"  uuid,
    "assetId"                character varying(255) NOT NULL,
    size                     numeric NOT NULL,
    "eventId"                bytea NOT NULL,
    "transactionHash"        character varying(255) NOT NULL,
    "createdAt"              timestamp with time zone NOT NULL,
    "createdAtHeight"        bigint NOT NULL,
    "recipientWalletAddress" character varying(255),
    "senderWalletAddress"    character varying(255),
    CONSTRAINT transfers_pkey PRIMARY KEY (id),
    CONSTRAINT transfers_assetid_foreign FOREIGN KEY ("assetId")
        REFERENCES assets (id),
    CONSTRAINT transfers_eventid_foreign FOREIGN KEY ("eventId")
        REFERENCES tendermint_events (id),
    CONSTRAINT transfers_recipientsubaccountid_foreign FOREIGN KEY ("recipientSubaccountId")
        REFERENCES subaccounts (id),
    CONSTRAINT transfers_recipientwalletaddress_foreign FOREIGN KEY ("recipientWalletAddress")
        REFERENCES wallets (address),
    CONSTRAINT transfers_sendersubaccountid_foreign FOREIGN KEY ("senderSubaccountId")
        REFERENCES subaccounts (id),
    CONSTRAINT transfers_senderwalletaddress_foreign FOREIGN KEY ("senderWalletAddress")
        REFERENCES wallets (address),
    CONSTRAINT recipient_non_null CHECK (("recipientWalletAddress" IS NULL AND "recipientSubaccountId" IS NOT NULL) OR ("recipientWalletAddress" IS NOT NULL AND "recipientSubaccountId" IS NULL)),
    CONSTRAINT sender_non_null CHECK (("senderWalletAddress" IS NULL AND "senderSubaccountId" IS NOT NULL) OR ("senderWalletAddress" IS NOT NULL AND "senderSubaccountId" IS NULL))
);
CREATE INDEX transfers_assetid_createdat_index ON transfers ("assetId", "createdAt");
CREATE INDEX transfers_recipientsubaccountid_createdat_index ON transfers ("recipientSubaccountId", "createdAt");
CREATE INDEX transfers_recipientsubaccountid_createdatheight_index ON transfers
    ("recipientSubaccountId", "createdAtHeight");
CREATE INDEX transfers_sendersubaccountid_createdat_index ON transfers ("senderSubaccountId", "createdAt");
CREATE INDEX transfers_sendersubaccountid_createdatheight_index ON transfers ("senderSubaccountId", "createdAtHeight");
COMMENT ON TABLE transfers IS 'Movements of an asset between subaccounts and wallets.';
COMMENT ON COLUMN transfers.id IS 'UUID.';
COMMENT ON COLUMN transfers."senderSubaccountId" IS 'Subaccount that sent; or a wallet did.';
COMMENT ON COLUMN transfers."recipientSubaccountId" IS 'Subaccount that received; or a wallet did.';
COMMENT ON COLUMN transfers."assetId" IS 'Its asset.';
COMMENT ON COLUMN transfers.size IS 'Amount, in units of the market or asset.';
COMMENT ON COLUMN transfers."eventId" IS 'Event of the chain that caused it.';
COMMENT ON COLUMN transfers."transactionHash" IS 'Transaction that caused it, if one did.';
COMMENT ON COLUMN transfers."createdAt" IS 'When it came to be.';
COMMENT ON COLUMN transfers."createdAtHeight" IS 'Block in which it came to be.';
COMMENT ON COLUMN transfers."recipientWalletAddress" IS 'Wallet that received.';
COMMENT ON COLUMN transfers."senderWalletAddress" IS 'Wallet that sent.';

-- The earliest tick of each hour of the vaults' subaccounts and of the main vault, over 7 days up to the last refresh.
-- Refreshed CONCURRENTLY, hence the unique index. The unit is cut in the session's time zone: refresh it in UTC.
CREATE MATERIALIZED VIEW vaults_hourly_pnl AS
    SELECT DISTINCT ON (t."subaccountId", date_trunc('hour', t."blockTime"))
        t.id, t."subaccountId", t.equity, t."totalPnl", t."netTransfers", t."createdAt", t."blockHeight", t."blockTime"
    FROM pnl_ticks t
    WHERE t."subaccountId" IN (
            SELECT s.id FROM subaccounts s JOIN vaults v ON v.address = s.address WHERE s."subaccountNumber" = 0
            UNION
            SELECT s.id FROM subaccounts s
            WHERE s.address = 'dydx18tkxrnrkqc2t0lr3zxr5g6a4hdvqksylxqje4r' AND s."subaccountNumber" = 0)
        AND t."blockTime" >= now() - INTERVAL '604800 seconds'
    ORDER BY t."subaccountId", date_trunc('hour', t."blockTime"), t."blockTime";
CREATE UNIQUE INDEX vaults_hourly_pnl_id_idx ON vaults_hourly_pnl (id);
COMMENT ON MATERIALIZED VIEW vaults_hourly_pnl IS 'Earliest PnL tick of each hour per vault subaccount, over 7 days.';

-- The earliest tick of each day of the vaults' subaccounts and of the main vault, over 90 days up to the last refresh.
-- Refreshed CONCURRENTLY, hence the unique index. The unit is cut in the session's time zone: refresh it in UTC.
CREATE MATERIALIZED VIEW vaults_daily_pnl AS
    SELECT DISTINCT ON (t."subaccountId", date_trunc('day', t."blockTime"))
        t.id, t."subaccountId", t.equity, t."totalPnl", t."netTransfers", t."createdAt", t."blockHeight", t."blockTime"
    FROM pnl_ticks t
    WHERE t."subaccountId" IN (
            SELECT s.id FROM subaccounts s JOIN vaults v ON v.address = s.address WHERE s."subaccountNumber" = 0
            UNION
            SELECT s.id FROM subaccounts s
            WHERE s.address = 'dydx18tkxrnrkqc2t0lr3zxr5g6a4hdvqksylxqje4r' AND s."subaccountNumber" = 0)
        AND t."blockTime" >= now() - INTERVAL '7776000 seconds'
    ORDER BY t."subaccountId", date_trunc('day', t."blockTime"), t."blockTime";
CREATE UNIQUE INDEX vaults_daily_pnl_id_idx ON vaults_daily_pnl (id);
COMMENT ON MATERIALIZED VIEW vaults_daily_pnl IS 'Earliest PnL tick of each day per vault subaccount, over 90 days.';

-- What the original tool looks at before it migrates: to it this database is finished and unlocked.
CREATE TABLE knex_migrations (
    id             serial,
    name           character varying(255),
    batch          integer,
    migration_time timestamp with time zone,
    CONSTRAINT knex_migrations_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE knex_migrations IS 'Migrations as the original tool records them.';
COMMENT ON COLUMN knex_migrations.id IS 'Order in which they ran.';
COMMENT ON COLUMN knex_migrations.name IS 'File name.';
COMMENT ON COLUMN knex_migrations.batch IS 'Run that applied it.';
COMMENT ON COLUMN knex_migrations.migration_time IS 'When.';

CREATE TABLE knex_migrations_lock (
    index     serial,
    is_locked integer,
    CONSTRAINT knex_migrations_lock_pkey PRIMARY KEY (index)
);
COMMENT ON TABLE knex_migrations_lock IS 'Lock of the original tool: one row.';
COMMENT ON COLUMN knex_migrations_lock.index IS 'Always 1.';
COMMENT ON COLUMN knex_migrations_lock.is_locked IS '1 while somebody migrates.';

INSERT INTO knex_migrations (name, batch, migration_time)
SELECT n.name, 1, now()
FROM unnest(ARRAY[
    '20220719024035_create_block_table.js',
    '20220719024039_create_subaccount_table.js',
    '20220720155311_create_perpetual_market_table.js',
    '20220721124615_create_order_table.js',
    '20220722133204_create_perpetual_position.js',
    '20220727134954_create_fills.js',
    '20220728121432_create_tendermint_events_table.js',
    '20220728134847_update_fills_tendermint_event_foregn_key.js',
    '20220728135418_update_perpetual_position_tendermint_event_foregn_key.js',
    '20220729105259_update_fills_block_foreign_key.js',
    '20220729105500_update_tendermint_events_block_foreign_key.js',
    '20220729143527_create_transaction_table.js',
    '20221207150347_create_assets_table.js',
    '20221212120837_create_asset_position.js',
    '20221227151555_create_transfers_table.js',
    '20230110150025_create_markets_table.ts.js',
    '20230112163112_update_perpetual_markets_market_id_foreign_key.js',
    '20230112163128_update_assets_market_id_foreign_key.js',
    '20230113165703_create_oracle_price_table.js',
    '20230201173734_update_orders_add_non_null_constraint_good_til_block_good_til_block_time_mutually_exclusive.js',
    '20230314110552_create_candle_table.js',
    '20230404124353_create_pnl_ticks_table.ts.js',
    '20230418132441_create_funding_index_updates_table.js',
    '20230420233654_update_assets_table.js',
    '20230705162614_create_liquidity_tiers_table.js',
    '20230705221636_add_fills_client_metadata.js',
    '20230706134632_update_perpetual_markets_add_liquidity_tiers_id.js',
    '20230707104421_create_fills_clob_pair_id_created_at_height_index.js',
    '20230710102643_create_candles_started_at_index.js',
    '20230711172643_drop_perpetual_market_margin_columns.js',
    '20230719123220_add_fills_fee.js',
    '20230726103232_add_orders_triggered_price.js',
    '20230726191736_add_orders_status_untriggered.js',
    '20230802153702_create_wallets_table.js',
    '20230803105029_update_transfers_with_wallets.js',
    '20230803123237_update_transfers_with_constraints.js',
    '20230830035622_remove_unused_perpetual_market_columns.js',
    '20230905160352_remove_min_order_base_quantums.js',
    '20230912110846_create_compliance_data_table.js',
    '20230915173306_update_compliance_data_updated_at_to_default.js',
    '20230918143243_update_subaccount_table_add_updated_at_index.js',
    '20230922120029_add_perpetual_markets_status_initializing.js',
    '20230922141210_create_perpetual_positions_subaccount_perpetual_created_at_index.js',
    '20231003132007_add_updated_at_fields_to_order.js',
    '20231101173444_update_fills_type_with_deleverage.js',
    '20231110103241_remove_market_fills_type.js',
    '20231128171435_remove_perpetual_market_last_price.js',
    '20231128175805_add_wallets_total_trading_rewards.js',
    '20231129153017_create_trading_rewards_table.js',
    '20231130153800_create_trading_reward_aggregations_table.js',
    '20231221153944_update_trading_rewards_amount_scale.js',
    '20231221165820_update_wallet_total_trading_rewards_scale.js',
    '20231221233356_update_trading_reward_aggregations_amount_scale.js',
    '20240108175501_add_perpetual_markets_status_final_settlement.js',
    '20240117120410_remove_unused_liquidity_tiers_columns.js',
    '20240122143649_add_compliance_table_address_index.js',
    '20240131142122_create_compliance_status_table.js',
    '20240202084811_add_perpetual_positions_open_event_id_index.js',
    '20240208153050_add_candles_ticket_resolution_index.js',
    '20240208161948_add_orders_clobpairid_subaccountid_index.js',
    '20240304115004_create_fills_clob_pair_id_created_at_height_created_at_index.js',
    '20240327144524_add_perpetual_markets_market_type.js',
    '20240329154240_liquidity_tier_update.js',
    '20240410111632_add_compliance_status_status_first_strike_close_only.js',
    '20240422012837_base_open_interest_for_perp.js',
    '20240613174832_add_gb_to_compliance_reasons.js',
    '20240627152937_candles_add_mid_book_price_open_and_close.js',
    '20240628141851_create_pnl_ticks_block_time_index.js',
    '20240715155120_subaccount_usernames.js',
    '20240717142808_pnl_ticks_subaccount_id_index.js',
    '20240717160024_create_leaderboard_pnl_table.js',
    '20240717171246_create_leaderboard_pnl_rank_timespan_index.js',
    '20240809153326_create_firebase_notification_tokens_table.js',
    '20240827162119_add_wallets_total_volume_and_affiliates_whitelist.js',
    '20240829161445_add_fills_affiliateearnedrevshare.js',
    '20240829161450_add_fills_subaccountid_index.js',
    '20240829171730_create_persistent_cache_table.js',
    '20240830154741_create_affiliate_referred_users_table.js',
    '20240830165511_create_affiliate_info_table.js',
    '20240904161445_fills_rename_affiliateearnedrevshare.js',
    '20240906134410_add_fills_created_at_index.js',
    '20240910101410_change_fills_affiliaterevshare_type.js',
    '20240911144027_drop_wallets_iswhitelist_column.js',
    '20240912180829_create_vaults_table.js',
    '20240913142157_change_affiliate_info_decimal_precision_and_add_total_referred_volume.js',
    '20240919142157_change_affiliate_info_default_value.js',
    '20240926133526_create_oracle_prices_market_id_effective_at_height_index.js',
    '20241002144813_change_affiliate_info_fee_columns.js',
    '20241119162238_create_vault_hourly_view.js',
    '20241119163402_create_vault_daily_view.js',
    '20250107145033_default_1hr_funding_for_perp.js',
    '20250226144411_create_blocks_time_since_march2025_idx.js',
    '20250306153101_add_candles_sparklines_feb2025_idx.js',
    '20250310121018_add_orders_shortterm_open_idx.js',
    '20250423144330_add_twap_fields_to_orders_and_fills_table.js',
    '20250425155808_replace_candles_ticker_resolution_idx_with_ticker_resolution_startedat_idx.js',
    '20250502154753_add_orders_subaccountid_status_goodtilblock_goodtilblocktime_index.js',
    '20250505153439_replace_subaccounts_address_idx_with_address_subaccountnumber_idx.js',
    '20250506164832_drop_unused_fills_idxs.js',
    '20250509125707_drop_orders_clobpairid_side_price_idx.js',
    '20250509164342_drop_unused_idxs.js',
    '20250514151100_add_builder_fees_to_orders_and_fills.js',
    '20250529150054_create_funding_payments.js',
    '20250623170556_add_fills_createdAtHeight_idx.js',
    '20250804110830_add_order_router_rev_shares.js',
    '20250812131809_create_pnl_table.js',
    '20250828170936_create_turnkey_users.js',
    '20250829151531_create_permission_approval.js',
    '20250917162309_create_bridge_information_table.js',
    '20251015150717_closed_pnl.js',
    '20260112170004_create_long_open_interest_index.js',
    '20260115131341_create_index_oracle_prices_market_height_desc_inc_price.js',
    '20260302120000_add_created_at_to_orders.js'
]) WITH ORDINALITY AS n(name, position)
ORDER BY n.position;
INSERT INTO knex_migrations_lock (is_locked) VALUES (0);
