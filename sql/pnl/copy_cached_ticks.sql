COPY pnl_cached (subaccount, height, time, created, tick_id) FROM STDIN
