-- Which of the names $1 are given already.
SELECT username FROM subaccount_usernames WHERE username = ANY ($1::text[])
