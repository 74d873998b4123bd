#!/bin/sh
# Build Kubo, the reference IPFS node, into the user's cache, once. Prints the path of the program.
# Needs Go (the version that Kubo's go.mod names, or newer), some 1.5 GB of disk for Go's caches, and a few minutes.
set -eu

version=0.42.0
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"

if [ "$("$bin/ipfs" version --number 2>/dev/null)" = "$version" ]; then
    echo "$bin/ipfs"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "kubo.sh: Go is not installed, and Kubo is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
cd "$bin"
# Built in the module's own folder, so that every version is the one in its go.mod.
source=$(go mod download -json "github.com/ipfs/kubo@v$version" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
if [ ! -d "$source" ]; then
    echo "kubo.sh: the source of Kubo $version could not be downloaded" >&2
    exit 1
fi
part="$bin/ipfs.$$.part"
trap 'rm -f "$part"' EXIT
(cd "$source" && go build -mod=readonly -o "$part" ./cmd/ipfs)
mv "$part" "$bin/ipfs"
echo "$bin/ipfs"
