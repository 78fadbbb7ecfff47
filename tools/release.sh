#!/bin/sh
# Builds a seam command that carries this repository as it is committed, so that seam new and seam update need no
# checkout of it:
#
#   tools/release.sh FILE
set -eu
[ $# = 1 ] || { echo "name the file to be built: tools/release.sh bin/seam-released" >&2; exit 2; }
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")"
[ -z "$(git status --porcelain)" ] || { echo "not everything is committed, so the command would not be of what it carries: commit first" >&2; exit 2; }
trap 'rm -f template/template.zip' EXIT
git -C .. archive --format=zip --output "$PWD/template/template.zip" HEAD
go build -trimpath -tags released -o "$out" ./seam
echo "$out carries $(git describe --always --tags)"
