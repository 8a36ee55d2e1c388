-- In the database app, as its superuser, once, when it is made. secrets.sh has made the passwords.
DO $$
BEGIN
  EXECUTE format('CREATE ROLE evenkeel LOGIN PASSWORD %L', pg_read_file('/run/evenkeel/evenkeel'));
  EXECUTE format('CREATE ROLE replicator LOGIN REPLICATION PASSWORD %L', pg_read_file('/run/evenkeel/replicator'));
END
$$;

-- What it needs of any database; what it needs of a table is granted where the table is made.
GRANT CREATE ON DATABASE app TO evenkeel;
GRANT USAGE ON SCHEMA public TO evenkeel;
GRANT pg_monitor TO evenkeel;
