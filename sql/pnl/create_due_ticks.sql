-- The ticks that are due. n counts the accounts looked at; failure says why there is no tick ('changed': what it had at
-- that height is not known any more); grown marks a change that is worth a line in the journal.
CREATE TEMPORARY TABLE pnl_due (
    n bigint, new boolean, subaccount uuid, tick_id uuid, created timestamptz, equity numeric, total numeric, net numeric,
    height bigint, time timestamptz, failure text, grown boolean, last_equity numeric, last_total numeric)
    ON COMMIT DROP
