-- The database of schema.json (design, section 9).
SELECT 1;
