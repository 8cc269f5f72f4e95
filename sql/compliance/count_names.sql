-- How many names there are, and what is written at $1 about how many of them were seen to be of which lists.
SELECT count(*), (SELECT value FROM persistent_cache WHERE key = $1) FROM subaccount_usernames
