#!/bin/sh
# Builds a PostgreSQL image from Debian's packages, for machines that reach no image registry. Elsewhere the ordinary public
# image serves; see TEST_POSTGRES_IMAGE and POSTGRES_IMAGE.
#
#   deploy/postgres-image/build.sh [IMAGE [SUITE MAJOR]]     (needs root, debootstrap and a Docker engine)
#
# makes IMAGE (default seam-postgres:15) of the release SUITE of Debian (default bookworm) with PostgreSQL MAJOR, which that
# release has to have: bookworm 15, trixie 17, sid 18. PgBouncer is in it, too: docker run --entrypoint pgbouncer.
set -eu

image=${1:-seam-postgres:15} suite=${2:-bookworm} major=${3:-15}
here=$(cd "$(dirname "$0")" && pwd)

if docker image inspect "$image" >/dev/null 2>&1; then
	echo "$image is there already"
	exit 0
fi
if ! command -v debootstrap >/dev/null; then
	echo "Installing debootstrap …"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y debootstrap debian-archive-keyring >/dev/null
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
echo "Building $image from the packages of Debian's $suite (about a minute) …"
debootstrap --variant=minbase --include="postgresql-$major,pgbouncer" "$suite" "$root" http://deb.debian.org/debian >"$root.log" 2>&1 || {
	tail -n 20 "$root.log"
	exit 1
}
rm -rf "$root.log" "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root/var/lib/postgresql/$major"
install -m 0755 "$here/entrypoint.sh" "$root/entrypoint.sh"
tar -C "$root" -c . | docker import \
	--change 'ENTRYPOINT ["/entrypoint.sh"]' --change 'CMD ["postgres"]' \
	--change 'EXPOSE 5432' --change 'VOLUME /var/lib/postgresql/data' - "$image" >/dev/null
echo "Built $image"
