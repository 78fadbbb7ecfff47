#!/bin/sh
# Runs a suite that is too long for make test:
#
#   lab/long.sh topologies     acceptance on every mix of processes and versions, then what happens between them
#   lab/long.sh faults         every fault to the three topologies, then a shop without each
#                              safeguard; SEED=7 repeats a run
#   lab/long.sh mutants        every violation of a boundary, written into a copy of the repository, and who catches it
#   lab/long.sh servers        PostgreSQL in Docker, and its other releases, also through the PgBouncer of each
#   lab/long.sh clones         products of seam new: their own make test and make check, modules that come and go, updates
#   lab/long.sh move           a module's data moves out and back, also of a running shop (MOVE_RATE=300, MOVE_ORDERS=0 before), and its coordinator dies at every step;
#                              TEST_MOVE_SERVERS="postgres://… postgres://…" moves between these servers, new ones, as of two versions
#   lab/long.sh attacks        a stranger, a customer and a module taken over, each against a running shop, and against compose
#   lab/long.sh fuzz           every fuzz test, FUZZTIME (1m) each
set -eu
cd "$(dirname "$0")/.."

usage() {
	echo "$1" >&2
	exit 2
}

accept() {
	echo "Acceptance: $1 …"
	shift
	env SEAM_DATABASE_URL= CANARY= DATABASES= "$@" test/accept.sh
}

# The tests of the suite faults.
matrix='^(TestMatrix|TestNegativeControls)$'

case ${1:-} in
topologies)
	echo "Testing every topology (about half an hour) …"
	accept "the monolith" SPLIT=
	for module in modules/*; do
		module=${module#modules/}
		accept "$module alone split off" "SPLIT=$module"
	done
	accept "all split off" SPLIT=all
	accept "all split off, each with a database of its own" SPLIT=all DATABASES=own
	released=$(mktemp -d)
	trap 'rm -rf "$released"' EXIT
	cp bin/* "$released/"
	deploy/build-released.sh "$released" payments
	accept "all split off and payments of the last release" SPLIT=all SEAM_BIN="$released"
	deploy/test-compose.sh
	echo "Moving modules, cutting networks, and other long tests …"
	SEAM_LONG=1 go test -count=1 -timeout 60m -skip "$matrix" ./lab/faults
	SEAM_LONG=1 go test -count=1 -timeout 60m ./lab/bench ./lab/road
	bin/seam postgres -- go test -count=1 -timeout 60m ./lab/saga -rapid.checks=300
	;;
faults)
	case ${SEED:-} in *[!0-9]*) usage "SEED must be a whole number, such as 7, and is \"$SEED\"" ;; esac
	echo "Building the shop's commands, and then doing every fault, which takes about half an hour …"
	SEAM_LONG=1 SEED=${SEED:-} go test -count=1 -timeout 90m -v -run "$matrix" ./lab/faults
	;;
mutants)
	ARCHITECTURE_MUTANTS=1 go test -count=1 -v -timeout 60m -run 'TestMutants|TestNothingIsServedStale' ./lab/plants
	;;
servers)
	deploy/postgres-image/test.sh
	lab/servers.sh
	;;
clones)
	SEAM_LONG=1 go test -count=1 -v -timeout 120m ./lab/clones
	;;
move)
	SEAM_LONG=1 bin/seam postgres -- go test -count=1 -v -timeout 30m ./tools/move
	SEAM_LONG=1 go test -count=1 -v -timeout 30m ./lab/move
	;;
attacks)
	SEAM_LONG=1 go test -count=1 -v -timeout 60m ./lab/attacks
	SEAM_LONG=1 TEST_SUITE=./lab/attacks deploy/test-compose.sh deploy/compose.services.yaml
	;;
fuzz)
	# One after the other, because go test fuzzes one at a time. What it finds is written to testdata/fuzz beside the test;
	# commit that, and every test run tries it again. Shrinking what is only interesting takes most of the time if it may.
	time=${FUZZTIME:-1m} failed=
	all=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' .) || usage "there is no fuzz test"
	echo "Fuzzing, $time each …"
	IFS='
'
	for at in $all; do
		name=${at##*func } folder=$(dirname "${at%%:*}")
		echo "$name in $folder …"
		EDGE_BIN=$PWD/bin bin/seam postgres -- go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x -parallel 1 \
			"$folder" || failed="$failed $name"
	done
	[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
	;;
*)
	usage "say which suite: topologies, faults, mutants, servers, clones, move, attacks or fuzz; for example make long SUITE=topologies"
	;;
esac
