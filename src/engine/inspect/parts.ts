/** The table with all its partitions, by the catalog: `parts`. Those that hold rows are no partitioned tables. */
export const withParts = `WITH RECURSIVE parts AS (
    SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
    UNION ALL
    SELECT part.oid, part.relkind FROM parts JOIN pg_inherits i ON parts.relkind = 'p' AND i.inhparent = parts.oid
    JOIN pg_class part ON part.oid = i.inhrelid
  )`
