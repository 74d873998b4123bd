#!/bin/sh
# Build sigstore's timestamp-server, an RFC 3161 authority, into the user's cache, once. Prints the path of the program.
# Needs Go (the version that its go.mod names, or newer), some 1 GB of disk for Go's caches, and a few minutes.
set -eu

version=2.1.3
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"
program="$bin/timestamp-server"
mark="$program.version"

# The program itself does not always know its version.
if [ -x "$program" ] && [ "$(cat "$mark" 2>/dev/null)" = "$version" ]; then
    echo "$program"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "timestamp-server.sh: Go is not installed, and timestamp-server is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
part="$bin/timestamp-server.$$.part"
trap 'rm -rf "$part"' EXIT
GOBIN="$part" go install "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server@v$version"
mv "$part/timestamp-server" "$program"
echo "$version" >"$mark"
echo "$program"
