#!/bin/sh
# Builds commands of the last release into a folder, to run them beside today's:
#
#   deploy/build-released.sh FOLDER COMMAND …
#
# The file release has the commit, because a clone may have no tags. After a release:
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
cd "$tree" # with its own go.work
for command in "$@"; do
	go build -o "$folder/$command" "./cmd/$command"
	echo "$command is $tag's."
done
