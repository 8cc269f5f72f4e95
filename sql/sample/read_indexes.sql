-- Statements that drop, and that make again, the indexes and keys of tables $1 that no foreign key refers to.
SELECT CASE WHEN key.conname IS NULL THEN format('DROP INDEX %s', i.indexrelid::regclass)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, key.conname) END,
       CASE WHEN key.conname IS NULL THEN pg_get_indexdef(i.indexrelid)
            ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', i.indrelid::regclass, key.conname,
                        pg_get_constraintdef(key.oid)) END
  FROM unnest($1::text[]) AS t (name)
  JOIN pg_index AS i ON i.indrelid = quote_ident(t.name)::regclass
  LEFT JOIN pg_constraint AS key ON key.conindid = i.indexrelid AND key.contype IN ('p', 'u', 'x')
 WHERE NOT EXISTS (SELECT FROM pg_constraint AS f WHERE f.conindid = i.indexrelid AND f.contype = 'f')
 ORDER BY i.indexrelid
