#!/bin/sh
# Builds a PostgreSQL image from Debian's packages, for machines without an image registry.
# Elsewhere use the public image; see TEST_POSTGRES_IMAGE and POSTGRES_IMAGE.
#
#   deploy/postgres-image/build.sh [IMAGE [SUITE MAJOR]]   (needs root, debootstrap and Docker)
#
# builds IMAGE (default seam-postgres:15) from Debian's release SUITE (default bookworm) with its
# PostgreSQL MAJOR: bookworm 15, trixie 17, sid 18. With PgBouncer: docker run --entrypoint
# pgbouncer.
set -eu

usage() {
	echo "usage: deploy/postgres-image/build.sh [IMAGE [SUITE MAJOR]], such as seam-postgres:17 trixie 17" >&2
	exit 2
}
case $# in 0 | 1 | 3) ;; *) usage ;; esac
case ${1-image} in -* | "") usage ;; esac

image=${1:-seam-postgres:15} suite=${2:-bookworm} major=${3:-15}
here=$(cd "$(dirname "$0")" && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg # without it debootstrap checks no signature

docker info >/dev/null 2>&1 || {
	echo "No Docker engine answers, so no image can be built: start one." >&2
	exit 1
}
# An image of another recipe or release is built again.
recipe=$(cat "$here/build.sh" "$here/entrypoint.sh" | sha256sum | cut -c -16)-$suite-$major
if [ "$(docker image inspect --format '{{.Config.Labels.recipe}}' "$image" 2>/dev/null)" = "$recipe" ]; then
	echo "$image is there already"
	exit 0
fi
if ! command -v debootstrap >/dev/null || ! [ -e $keyring ]; then
	echo "Installing debootstrap …"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y debootstrap debian-archive-keyring >/dev/null
fi

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM
root=$work/root
echo "Building $image from the packages of Debian's $suite (about a minute) …"
debootstrap --force-check-gpg --keyring=$keyring --variant=minbase --include="postgresql-$major,pgbouncer" "$suite" "$root" \
	http://deb.debian.org/debian >"$work/log" 2>&1 || {
	tail -n 20 "$work/log" >&2
	exit 1
}
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root/var/lib/postgresql/$major"
install -m 0755 "$here/entrypoint.sh" "$root/entrypoint.sh"
tar -C "$root" -cf "$work/root.tar" . # not a pipe, which would hide an error
docker import \
	--change 'ENTRYPOINT ["/entrypoint.sh"]' --change 'CMD ["postgres"]' --change "LABEL recipe=$recipe" \
	--change 'EXPOSE 5432' --change 'VOLUME /var/lib/postgresql/data' "$work/root.tar" "$image" >/dev/null
echo "Built $image"
