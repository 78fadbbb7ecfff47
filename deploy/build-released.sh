#!/bin/sh
# Builds commands into a folder as they were at the last release, to run them beside today's as a canary does:
#
#   deploy/build-released.sh FOLDER COMMAND …
#
# The file release beside this one says which commit that is, because a clone may have no tags. After a release:
#
#   echo "v1.2.3 $(git rev-parse 'v1.2.3^{commit}')" >deploy/release
set -eu
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."

read -r tag commit <deploy/release
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
	echo "The last release, $tag, is commit $commit, which this clone does not have." >&2
	if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = true ]; then
		echo "Fetch the history: git fetch --tags --unshallow" >&2
	else
		echo "Fetch it: git fetch --tags" >&2
	fi
	exit 1
fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git archive --output "$tree/release.tar" "$commit"
tar -xf "$tree/release.tar" -C "$tree"
cd "$tree" # and so its own go.work
for command in "$@"; do
	go build -o "$folder/$command" "./cmd/$command"
	echo "$command is $tag's."
done
