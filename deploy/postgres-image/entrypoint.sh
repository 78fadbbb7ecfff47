#!/bin/sh
# Starts PostgreSQL like the public image, as far as tests and compose files need it: the first
# start creates POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB in PGDATA, and docker stop is fast.
set -eu

: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}" "${PGDATA:=/var/lib/postgresql/data}"
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGDATA PATH

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

mkdir -p "$PGDATA" /var/run/postgresql
chown postgres:postgres "$PGDATA" /var/run/postgresql

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	if [ -z "${POSTGRES_PASSWORD:-}" ]; then
		echo "POSTGRES_PASSWORD is not set: choose one with -e POSTGRES_PASSWORD=…" >&2
		exit 2
	fi
	secret=$(mktemp)
	printf '%s' "$POSTGRES_PASSWORD" >"$secret"
	chown postgres "$secret"
	as_postgres initdb --username="$POSTGRES_USER" --pwfile="$secret" --auth=scram-sha-256 --encoding=UTF8 >/dev/null
	rm "$secret"
	echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
	if [ "$POSTGRES_DB" != postgres ]; then
		as_postgres pg_ctl start --wait --silent --options="-c listen_addresses='' -c unix_socket_directories=/tmp" >/dev/null
		PGPASSWORD=$POSTGRES_PASSWORD as_postgres createdb --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB"
		as_postgres pg_ctl stop --wait --silent --mode=fast
	fi
fi

# Docker's SIGTERM would wait for all clients to disconnect; SIGINT disconnects them. as_postgres in
# the background would be a subshell that ignores SIGINT and does not pass it on.
if [ "${1:-}" = postgres ]; then
	shift
fi
setpriv --reuid=postgres --regid=postgres --init-groups postgres -c listen_addresses='*' "$@" &
server=$!
trap 'kill -INT $server' TERM INT
trap 'kill -QUIT $server' QUIT # an immediate stop
wait $server || true # the signal ends this wait
wait $server
