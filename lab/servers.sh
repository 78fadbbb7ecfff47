#!/bin/sh
# Runs the tests of platform and modules and the acceptance suite on Debian's later PostgreSQL
# releases, the suite also through the PgBouncer of the same release, and moves a module from one
# release to the next, also without a superuser. For another server:
#
#   TEST_DATABASE_URL=postgres://… go test -count=1 ./platform/...
#   SEAM_DATABASE_URL=postgres://…/shop test/accept.sh
#   TEST_MOVE_SERVERS="postgres://… postgres://…" SEAM_LONG=1 go test -count=1 ./tools/move
set -eu
cd "$(dirname "$0")/.."

if ! docker info >/dev/null 2>&1; then
	echo "No Docker engine answers: the other servers are not tested." >&2
	exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo # to build an image
containers= last=
# shellcheck disable=SC2086 # one argument for each container
trap '[ -z "$containers" ] || docker rm --force --volumes $containers >/dev/null' EXIT
trap 'exit 1' INT TERM

for release in "trixie 17" "sid 18"; do
	image=seam-postgres:${release#* }
	# shellcheck disable=SC2086 # they are two arguments
	$as_root deploy/postgres-image/build.sh "$image" $release
	more=
	[ "${release#* }" -lt 18 ] || more="-c max_active_replication_origins=30" # before, there are as many as slots
	password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	# shellcheck disable=SC2086 # $more is two arguments or none
	container=$(docker run --detach --publish 127.0.0.1::5432 --env POSTGRES_PASSWORD="$password" "$image" \
		postgres -c max_connections=400 -c fsync=off -c wal_level=logical -c max_replication_slots=30 -c max_wal_senders=30 \
		-c max_logical_replication_workers=20 -c max_worker_processes=30 $more)
	containers="$containers $container"
	server="postgres://postgres:$password@$(docker port "$container" 5432)"
	until docker exec "$container" pg_isready --quiet --host 127.0.0.1; do
		[ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || {
			docker logs "$container" >&2
			exit 1
		}
		sleep 0.2
	done
	echo "Testing on $image, and through its PgBouncer …"
	# shellcheck disable=SC2046 # one pattern for each module
	TEST_DATABASE_URL="$server/postgres?sslmode=disable" TEST_POOLER=$image go test -count=1 \
		./platform/... ./platform/devkit/pgtest $(printf './%s/... ' modules/*) ./lab/saga
	SEAM_DATABASE_URL="$server/shop?sslmode=disable" test/accept.sh
	SEAM_DATABASE_URL="$server/pooled?sslmode=disable" SEAM_POOLER=$image test/accept.sh
	TEST_POOLER=$image go test -count=1 -run '^TestThroughAPooler$' ./lab/faults
	# From one container to the other.
	address="postgres://postgres:$password@$(docker inspect --format '{{.NetworkSettings.IPAddress}}' "$container"):5432/postgres?sslmode=disable"
	if [ -n "$last" ]; then
		echo "Moving data from the release before to $image, and back …"
		TEST_MOVE_SERVERS="$last $address" SEAM_LONG=1 go test -count=1 -timeout 30m ./tools/move
	fi
	last=$address
done
