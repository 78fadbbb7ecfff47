#!/bin/sh
# Runs the acceptance suite beside a system that ends with it, with the settings of test/env. Those of
# seam up choose the topology, and RELEASED names services that are those of the last release, as on
# the old side of a canary:
#
#   make build
#   SPLIT=all test/accept.sh
#   SPLIT=all RELEASED="MODULE …" test/accept.sh
#   SEAM_DATABASE_URL=postgres://…/shop SEAM_POOLER=/usr/sbin/pgbouncer test/accept.sh
#   test/accept.sh COMMAND [ARG…]    runs the command beside the same system, after the suite
set -eu
cd "$(dirname "$0")/.."

bin=bin
for service in ${RELEASED:-}; do
	case ",${SPLIT:-}," in
	*,all,* | *,"$service",*) ;;
	*)
		echo "RELEASED names $service, which SPLIT does not split off, so its service would not run" >&2
		exit 2
		;;
	esac
done
if [ -n "${RELEASED:-}" ]; then
	bin=$(mktemp -d)
	trap 'rm -rf "$bin"' EXIT
	cp bin/* "$bin/"
	# shellcheck disable=SC2086 # one word for each service
	deploy/build-released.sh "$bin" $RELEASED
fi
set -a
for settings in test/env/*.env; do
	if [ -r "$settings" ]; then
		# shellcheck disable=SC1090 # every one of them
		. "$settings"
	fi
done
set +a
# shellcheck disable=SC2016 # the inner shell expands it
"$bin/seam" up -- sh -ec 'go test -count=1 ./test/acceptance; "$@"' sh "${@:-true}"
