#!/bin/sh
# The secrets of one installation, made at its first start: none stands in the repository, and no two installations share any.
#   secrets.sh <folder> <user of Postgres> <user of evenkeel> <user of Prometheus>
set -eu
umask 077
cd "$1"

# Whole or not at all: one that was begun and then killed would be a short one.
for name in superuser replicator evenkeel token scrape; do
  [ -e "$name" ] && continue
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$name.new"
  mv "$name.new" "$name"
done

echo "*:*:*:replicator:$(cat replicator)" >pgpass
# The database has the cores of this machine.
cat >environment <<END
DATABASE_URL=postgres://evenkeel:$(cat evenkeel)@postgres/app
REPLICA_URLS=postgres://evenkeel:$(cat evenkeel)@standby/app
DATABASE_CORES=$(nproc)
API_TOKENS=you:operate:$(cat token),prometheus:read:$(cat scrape)
END

chown "$2" superuser replicator evenkeel pgpass
chown "$3" environment token
chown "$4" scrape
chmod 711 .
