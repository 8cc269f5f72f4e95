-- How many addresses are still without a name, for the display of progress.
SELECT count(*)
  FROM subaccounts s
 WHERE s."subaccountNumber" = 0
   AND NOT EXISTS (SELECT FROM subaccount_usernames u WHERE u."subaccountId" = s.id)
