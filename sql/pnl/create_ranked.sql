-- A span's ranking before it is written; failure says why an address is left out.
CREATE TEMPORARY TABLE pnl_ranked (address text, pnl text, equity text, rank bigint, failure text) ON COMMIT DROP
