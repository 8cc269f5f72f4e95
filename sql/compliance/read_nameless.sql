-- The first $1 addresses, behind ($2, $3) where that is given, whose subaccount 0 has no name (compliance specification,
-- section 4.1). Their order decides who gets a name that two of them would have.
SELECT s.id, s.address
  FROM subaccounts s
 WHERE s."subaccountNumber" = 0
   AND ($2::text IS NULL OR (s.address, s.id) > ($2::text, $3::uuid))
   AND NOT EXISTS (SELECT FROM subaccount_usernames u WHERE u."subaccountId" = s.id)
 ORDER BY s.address, s.id
 LIMIT $1::bigint
