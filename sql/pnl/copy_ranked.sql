COPY pnl_ranked (address, pnl, equity, rank, failure) FROM STDIN
