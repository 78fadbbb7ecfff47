#!/bin/sh
# Builds an image of the NATS server from Go's module cache, in the version of
# platform/devkit/go.mod, for machines without a registry. Elsewhere use the public image; see
# NATS_IMAGE.
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
# As in the public image, arguments after the image's name go to the server.
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
