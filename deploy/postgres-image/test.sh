#!/bin/sh
# Runs some tests on a PostgreSQL in Docker, as on a machine without a local one. It skips them
# without a Docker engine.
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
fi
echo "Testing on $image in Docker …"
# shellcheck disable=SC2046 # one package for each module
TEST_POSTGRES=docker TEST_POSTGRES_IMAGE=$image go test -count=1 \
	./platform/devkit/pgserver ./platform/devkit/pgtest $(printf './%s ' modules/*) ./architecture
