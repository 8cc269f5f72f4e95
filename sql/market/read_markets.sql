-- All perpetual markets, in the order of the message (market specification, sections 3 and 9.6).
SELECT 1
