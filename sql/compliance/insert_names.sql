-- Gives the names $1 to the subaccounts $2. Names that somebody else gave meanwhile, and subaccounts that got one, are
-- left out; one row for each that was given.
INSERT INTO subaccount_usernames (username, "subaccountId")
SELECT n.username, n.id
  FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS n (username, id, position)
 WHERE NOT EXISTS (SELECT FROM subaccount_usernames u WHERE u."subaccountId" = n.id)
 ORDER BY n.position
    ON CONFLICT (username) DO NOTHING
