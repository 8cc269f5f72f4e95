-- Where an hour of ticks goes on that is not complete. No row: every hour that was begun is.
SELECT value FROM persistent_cache WHERE key = 'createPnlTicksRest'
