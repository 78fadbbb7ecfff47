#!/bin/sh
# Starts each compose file, runs the acceptance suite against it, and always takes it down.
#
#   deploy/test-compose.sh [FILE[:FILE] …]   (default: all in deploy)
#   TEST_SUITE=./FOLDER deploy/test-compose.sh …   (another suite, without the settings of test/env)
#
# It uses its own names, ports, keys and volumes, so it does not affect what runs already. SEAM_IMAGES,
# SEAM_TAG, POSTGRES_IMAGE and NATS_IMAGE choose the images; without the first two they are built.
set -eu
cd "$(dirname "$0")/.."

if ! docker info >/dev/null 2>&1; then
	echo "No Docker engine answers: the compose files are not tested."
	exit 0
fi
if docker compose version >/dev/null 2>&1; then
	compose="docker compose"
elif command -v docker-compose >/dev/null; then
	compose=docker-compose
else
	echo "There is neither docker compose nor docker-compose: the compose files are not tested."
	exit 0
fi

postgres=${POSTGRES_IMAGE:-postgres:17-alpine}
if ! docker image inspect "$postgres" >/dev/null 2>&1 && ! timeout 120 docker pull --quiet "$postgres" >/dev/null 2>&1; then
	echo "$postgres cannot be pulled: taking one of Debian's packages instead."
	postgres=seam-postgres:15
	deploy/postgres-image/build.sh "$postgres"
fi
nats=${NATS_IMAGE:-$(sed -n 's/.*NATS_IMAGE:-\(.*\)}.*/\1/p' deploy/compose.services.yaml)}
if ! docker image inspect "$nats" >/dev/null 2>&1 && ! timeout 120 docker pull --quiet "$nats" >/dev/null 2>&1; then
	echo "$nats cannot be pulled: building one from source instead."
	nats=seam-nats:dev
	deploy/nats-image/build.sh "$nats"
fi
export NATS_IMAGE="$nats"
if [ -z "${SEAM_IMAGES:-}${SEAM_TAG:-}" ]; then
	deploy/build-images.sh
fi

state=$(mktemp -d)
project=seam-test-$$
running=
down() {
	if [ -n "$running" ]; then
		timeout 120 $compose --env-file "$state/env" -p "$project" down --volumes --remove-orphans --timeout 20 >"$state/down" 2>&1 || cat "$state/down"
		running=
	fi
}
trap 'down; rm -rf "$state"' EXIT
trap 'exit 1' INT TERM

echo "Building seam …"
go build -o "$state/seam" ./tools/seam
SEAM_STATE=$state "$state/seam" env --write "$state/env"

POSTGRES_IMAGE=$postgres NATS_USERS=$state/nats.users.conf
HTTP_PORT=${TEST_HTTP_PORT:-18080} MAIL_PORT=${TEST_MAIL_PORT:-18025} PROVIDER_PORT=${TEST_PROVIDER_PORT:-18091}
export POSTGRES_IMAGE NATS_USERS HTTP_PORT MAIL_PORT PROVIDER_PORT
suite=${TEST_SUITE:-./test/acceptance}
set -a
for settings in test/env/*.env; do # as acceptance expects
	if [ "$suite" = ./test/acceptance ] && [ -r "$settings" ]; then
		# shellcheck disable=SC1090 # every one of them
		. "$settings"
	fi
done
set +a

# ready waits until every module answers: each process opens its database before it does.
ready() {
	for module in modules/*; do
		for try in $(seq 60); do
			if curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$HTTP_PORT/v1/${module#modules/}/openapi.json"; then
				break
			fi
			if [ "$try" = 60 ]; then
				return 1
			fi
			sleep 1
		done
	done
}

split=deploy/compose.services.yaml
for file in ${*:-deploy/compose.yaml $split $split:deploy/compose.databases.yaml}; do
	echo "Starting $file …"
	export COMPOSE_FILE="$file"
	running=$file
	begin=$(date +%s)
	if ! timeout 300 $compose --env-file "$state/env" -p "$project" up -d >"$state/up" 2>&1 || ! ready; then
		echo "$file does not become ready:"
		cat "$state/up"
		$compose --env-file "$state/env" -p "$project" ps
		$compose --env-file "$state/env" -p "$project" logs --tail 20
		exit 1
	fi
	echo "Ready after $(($(date +%s) - begin)) s; testing …"
	if ! SEAM_URL="http://127.0.0.1:$HTTP_PORT" MAIL_URL="http://127.0.0.1:$MAIL_PORT" SEAM_KEY="$state/key.pem" \
		SEAM_PROJECT=$project SEAM_STATE=$state timeout 600 go test -count=1 "$suite"; then
		$compose --env-file "$state/env" -p "$project" logs --tail 30
		exit 1
	fi
	down
done
