#!/bin/sh
# Runs the acceptance suite beside a shop that ends with it. The settings of seam up choose the shop,
# and RELEASED names services that are those of the last release, as on the old side of a canary:
#
#   make build
#   SPLIT=all test/accept.sh
#   SPLIT=all RELEASED="payments inventory" test/accept.sh
#   SEAM_DATABASE_URL=postgres://…/shop SEAM_POOLER=/usr/sbin/pgbouncer test/accept.sh
#   test/accept.sh COMMAND [ARG…]    runs the command beside the same shop, after the suite
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
# An order expires before tok_slow has answered, and long after every other token has.
export ORDERS_DEADLINE=5s PAYMENTS_CALL_TIMEOUT=500ms PAYMENTS_LEASE=5s PAYMENTS_QUIET=6s SEAM_SLOW_PAYMENT=8s
# shellcheck disable=SC2016 # the inner shell expands it
"$bin/seam" up -- sh -ec 'go test -count=1 ./test/acceptance; "$@"' sh "${@:-true}"
