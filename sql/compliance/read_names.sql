-- All names and whose they are, to see which lists gave them.
SELECT u.username, coalesce(s.address, '')
  FROM subaccount_usernames u
  LEFT JOIN subaccounts s ON s.id = u."subaccountId"
