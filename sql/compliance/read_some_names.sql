-- Some names and whose they are, to see which lists gave them.
SELECT u.username, coalesce(s.address, '')
  FROM (SELECT username, "subaccountId" FROM subaccount_usernames LIMIT 20) u
  LEFT JOIN subaccounts s ON s.id = u."subaccountId"
