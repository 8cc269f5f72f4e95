-- The latest ticks as Redis has them; tick_id is the id of a tick of this subaccount now.
CREATE TEMPORARY TABLE pnl_cached (subaccount uuid, height bigint, time timestamptz, created timestamptz, tick_id uuid)
    ON COMMIT DROP
