#!/bin/sh
# Builds the image of every command, for this machine's Docker engine:
#
#   deploy/build-images.sh [COMMAND …]     (default: all of cmd/, seam, and the sandbox)
#
#   SEAM_IMAGES  the prefix of the images' names (seam-), as in registry.example/app/
#   SEAM_TAG     their tag (dev)
#   SEAM_SBOM    a folder for each image's bill of materials (CycloneDX), with licences; unset, none is made
#
# The same commit gives the same binaries and the same files in whatever folder: so anybody can check what an image is made
# of. The image's label says which commit, not the binary, which would then differ in a copy without Git.
set -eu
cd "$(dirname "$0")/.."

images=${SEAM_IMAGES:-seam-} tag=${SEAM_TAG:-dev} sbom=${SEAM_SBOM:-}
all="$(ls cmd) seam"
if [ -d test/sandbox ]; then
	all="$all sandbox"
fi
targets=${*:-$all}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/etc/ssl/certs" "$context/state"
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
	if [ -r "$bundle" ]; then
		cp "$bundle" "$context/etc/ssl/certs/ca-certificates.crt"
		break
	fi
done

echo "Building the commands …"
arch=$(docker version --format '{{.Server.Arch}}')
packages=./deploy/healthcheck
for target in $targets; do
	case $target in
	seam) packages="$packages ./tools/seam" ;;
	sandbox) packages="$packages ./test/sandbox" ;;
	*) packages="$packages ./cmd/$target" ;;
	esac
done
# shellcheck disable=SC2086 # one word for each package
CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$context/" $packages
cp deploy/Dockerfile "$context/"
# A layer has the times and modes of the files, so they must not be those of this run.
TZ=UTC find "$context" -exec touch -t 200001010000 {} +
chmod -R u=rwX,go=rX "$context"
commit=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)

for target in $targets; do
	echo "Building $images$target:$tag …"
	# Send only what this image needs, not the whole context.
	tar -C "$context" -c Dockerfile "$target" healthcheck etc state |
		docker build --quiet --build-arg "TARGET=$target" --label "org.opencontainers.image.revision=$commit" --tag "$images$target:$tag" - >"$context/log" 2>&1 || {
		cat "$context/log" # only on an error: an engine without BuildKit warns for each image
		exit 1
	}
	if [ -n "$sbom" ]; then
		mkdir -p "$sbom"
		go run ./deploy/sbom "$context/$target" >"$sbom/$target.cdx.json"
	fi
done
for target in $targets; do
	docker image ls --format '{{.Repository}}:{{.Tag}}  {{.Size}}' "$images$target:$tag"
done
