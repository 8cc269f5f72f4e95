INSERT INTO liquidity_tiers (id, name, "initialMarginPpm", "maintenanceFractionPpm", "openInterestLowerCap", "openInterestUpperCap")
VALUES (0, 'Large-Cap', 20000, 600000, NULL, NULL),
       (1, 'Small-Cap', 50000, 600000, '20000000', '50000000'),
       (2, 'Long-Tail', 100000, 500000, '5000000', '10000000'),
       (3, 'Safety', 1000000, 200000, '2000000', '5000000'),
       (4, 'Isolated', 50000, 600000, '500000', '1000000')
