#!/bin/sh
# Runs the acceptance suite beside a system that ends with it, with the settings of test/env. Those of
# seam up choose the topology, and SEAM_BIN is the folder of its commands:
#
#   make build
#   SPLIT=all test/accept.sh
#   SEAM_DATABASE_URL=postgres://…/shop SEAM_POOLER=/usr/sbin/pgbouncer test/accept.sh
#   test/accept.sh COMMAND [ARG…]    runs the command beside the same system, after the suite
set -eu
cd "$(dirname "$0")/.."

set -a
for settings in test/env/*.env; do
	if [ -r "$settings" ]; then
		# shellcheck disable=SC1090 # every one of them
		. "$settings"
	fi
done
set +a
# shellcheck disable=SC2016 # the inner shell expands it
"${SEAM_BIN:-bin}/seam" up -- sh -ec 'go test -count=1 ./test/acceptance; "$@"' sh "${@:-true}"
