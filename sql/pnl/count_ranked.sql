SELECT count(*) FROM pnl_ranked WHERE failure IS NULL
