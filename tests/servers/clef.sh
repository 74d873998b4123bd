#!/bin/sh
# Build clef, go-ethereum's external signer, into the user's cache, once. Prints the path of the program.
# Needs Go (the version that go-ethereum's go.mod names, or newer), some 1 GB of disk for Go's caches, and a few minutes.
set -eu

version=1.16.9
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"

if "$bin/clef" --version 2>/dev/null | grep -q " $version-"; then
    echo "$bin/clef"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "clef.sh: Go is not installed, and clef is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
part="$bin/clef.$$.part"
mkdir "$part"
trap 'rm -rf "$part"' EXIT
cd "$bin"
GOBIN="$part" go install "github.com/ethereum/go-ethereum/cmd/clef@v$version" >&2
mv "$part/clef" "$bin/clef"
echo "$bin/clef"
