-- Deletes tokens last refreshed at $1 or before (compliance specification, section 8): the predicate is looked at when a
-- row is deleted, so a token that is refreshed meanwhile stays.
DELETE FROM firebase_notification_tokens WHERE "updatedAt" <= $1::timestamptz
