#!/bin/sh
# A streaming standby: at its first start a copy of the primary, at every other what it was.
set -eu
primary='host=postgres user=replicator passfile=/run/evenkeel/pgpass application_name=standby'

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # What a first start that was cut short has left: part of a copy, and a slot that keeps WAL for nobody.
  rm -rf "$PGDATA" "$PGDATA.copy"
  psql -qc 'DROP_REPLICATION_SLOT standby' "$primary replication=yes" 2>/dev/null || true
  mkdir -p "$(dirname "$PGDATA")"
  pg_basebackup --dbname="$primary" --pgdata="$PGDATA.copy" --create-slot --slot=standby --write-recovery-conf --checkpoint=fast
  mv "$PGDATA.copy" "$PGDATA"
fi

exec docker-entrypoint.sh postgres "$@"
