SELECT address, failure FROM pnl_ranked WHERE failure IS NOT NULL ORDER BY address COLLATE "C"
