#!/usr/bin/env bash
# Runs once before the other containers: checks the memory and the database's version, and creates the passwords.
set -euo pipefail
needed_mb=3500
root=${1:-} # tests pass a directory of their own

fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

total_mb=$(awk '/^MemTotal/ {print int($2 / 1024)}' "$root/proc/meminfo")
if [ "$total_mb" -lt "$needed_mb" ]; then
  fail "the Docker engine has $total_mb MB of memory; the lab needs $needed_mb MB." \
       "In Docker Desktop: Settings, Resources, Memory. With less, try LAB_PRESET=smoke and 'make up' without Docker."
fi

if [ -s "$root/postgres/PG_VERSION" ]; then
  found=$(cat "$root/postgres/PG_VERSION")
  [ "$found" = "${PG_MAJOR:-15}" ] ||
    fail "the database's volume was written by PostgreSQL $found, this is ${PG_MAJOR:-15}." \
         "Remove the old data with: docker compose down --volumes"
  [ -s "$root/run/postgres/password" ] ||
    fail "the database's volume has lost its password." "Remove the old data with: docker compose down --volumes"
fi

secret() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

for file in redis/password postgres/password grafana/password airflow/password airflow/database airflow/jwt airflow/api-key; do
  path=$root/run/$file
  [ -s "$path" ] || { secret > "$path.new" && mv "$path.new" "$path"; }
  # only the containers that mount the volume can see it; each runs as a user of its own
  chmod 0444 "$path"
done
printf 'requirepass %s\n' "$(cat "$root/run/redis/password")" > "$root/run/redis/.new"
mv "$root/run/redis/.new" "$root/run/redis/redis.conf"
chmod 0444 "$root/run/redis/redis.conf"
airflow=$root/run/airflow
printf '{"admin": "%s"}\n' "$(cat "$airflow/password")" > "$airflow/passwords.json"
# no line break: Airflow takes the whole output of `cat` as the address
printf 'postgresql+psycopg2://airflow:%s@postgres:5432/airflow' "$(cat "$airflow/database")" > "$airflow/database-url"
chmod 0444 "$airflow/passwords.json" "$airflow/database-url"
echo "setup: ready"
