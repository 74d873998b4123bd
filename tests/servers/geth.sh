#!/bin/sh
# Build geth, go-ethereum's node, into the user's cache, once. Prints the path of the program.
# Needs Go (the version that go-ethereum's go.mod names, or newer), some 1 GB of disk for Go's caches, and a few minutes.
set -eu

version=1.16.9
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"

if "$bin/geth" version 2>/dev/null | grep -q "^Version: $version-"; then
    echo "$bin/geth"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "geth.sh: Go is not installed, and geth is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
part="$bin/geth.$$.part"
mkdir "$part"
trap 'rm -rf "$part"' EXIT
cd "$bin"
GOBIN="$part" go install "github.com/ethereum/go-ethereum/cmd/geth@v$version" >&2
mv "$part/geth" "$bin/geth"
echo "$bin/geth"
