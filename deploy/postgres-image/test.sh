#!/bin/sh
# Runs a part of the tests on a PostgreSQL in Docker, through testcontainers: the way of those who have Docker and no local
# PostgreSQL. Where no engine answers there is nothing to test, and it says so.
set -eu

if ! docker info >/dev/null 2>&1; then
	echo "No Docker engine answers: the tests on a PostgreSQL in Docker are left out."
	exit 0
fi
image=${TEST_POSTGRES_IMAGE:-postgres:17-alpine}
if ! docker image inspect "$image" >/dev/null 2>&1 && ! timeout 120 docker pull --quiet "$image" >/dev/null 2>&1; then
	echo "$image cannot be pulled: building one from Debian's packages instead."
	image=seam-postgres:15
	"$(dirname "$0")/build.sh" "$image"
	# Nor can the image of testcontainers' reaper; the tests remove their containers without it. And a machine that looks like a
	# container, but has an engine of its own, reaches what it starts on the loopback.
	export TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_HOST_OVERRIDE="${TESTCONTAINERS_HOST_OVERRIDE:-127.0.0.1}"
fi
echo "Testing on $image in Docker …"
TEST_POSTGRES=docker TEST_POSTGRES_IMAGE=$image go test -count=1 ./platform/devkit/pgserver ./platform/devkit/pgtest ./modules/orders ./architecture
