#!/bin/sh
# Builds a PostgreSQL image from Debian's packages, for machines that reach no image registry. Elsewhere the ordinary public
# image serves; see TEST_POSTGRES_IMAGE and POSTGRES_IMAGE.
#
#   deploy/postgres-image/build.sh [IMAGE]     (default seam-postgres:15; needs root, debootstrap and a Docker engine)
set -eu

image=${1:-seam-postgres:15}
here=$(cd "$(dirname "$0")" && pwd)

if docker image inspect "$image" >/dev/null 2>&1; then
	echo "$image is there already"
	exit 0
fi
if ! command -v debootstrap >/dev/null; then
	echo "Installing debootstrap …"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y debootstrap >/dev/null
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
echo "Building $image from Debian's packages (about a minute) …"
debootstrap --variant=minbase --include=postgresql-15 bookworm "$root" >"$root.log" 2>&1 || {
	tail -n 20 "$root.log"
	exit 1
}
rm -rf "$root.log" "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/lib/postgresql/15
install -m 0755 "$here/entrypoint.sh" "$root/entrypoint.sh"
tar -C "$root" -c . | docker import \
	--change 'ENTRYPOINT ["/entrypoint.sh"]' --change 'CMD ["postgres"]' \
	--change 'EXPOSE 5432' --change 'VOLUME /var/lib/postgresql/data' - "$image" >/dev/null
echo "Built $image"
