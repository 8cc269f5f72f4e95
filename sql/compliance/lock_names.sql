-- One page at a time, on whatever host (see lock.sql). subaccount_usernames has no index by subaccount: with statistics from
-- before the table grew the planner would search it once for each account, or sort all of it for each page. What is left
-- for this transaction is a hash.
SELECT pg_advisory_xact_lock(hashtextextended('roundtable/compliance/subaccountUsernames', 0)),
       set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true)
