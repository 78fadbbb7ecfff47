#!/bin/sh
# Builds an image of the NATS server whose version platform/devkit/go.mod names, from Go's module cache, for machines that reach no image
# registry. Elsewhere the ordinary public image serves; see NATS_IMAGE.
#
#   deploy/nats-image/build.sh [IMAGE]     (default seam-nats:dev; needs Go and a Docker engine)
set -eu

image=${1:-seam-nats:dev}
cd "$(dirname "$0")/../../platform/devkit"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
echo "Building $image from source …"
CGO_ENABLED=0 GOWORK=off GOOS=linux GOARCH=$(docker version --format '{{.Server.Arch}}') \
	go build -trimpath -ldflags='-s -w' -o "$context/nats-server" github.com/nats-io/nats-server/v2
# As in the public image, what follows the image's name are the server's own arguments.
cat >"$context/Dockerfile" <<'END'
FROM scratch
COPY nats-server /nats-server
ENTRYPOINT ["/nats-server"]
END
docker build --quiet --tag "$image" "$context" >"$context/log" 2>&1 || {
	cat "$context/log"
	exit 1
}
echo "Built $image"
