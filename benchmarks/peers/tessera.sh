#!/bin/sh
# Build the program of this folder that fills a Tessera POSIX log into the user's cache, once. Prints its path.
# Needs Go 1.24 or newer.
set -eu

version=1.0.4
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"
program="$bin/tessera-fill-$version"
source="$(cd "$(dirname "$0")" && pwd)/tessera"

if [ -x "$program" ] && [ ! "$source/main.go" -nt "$program" ]; then
    echo "$program"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "tessera.sh: Go is not installed, and Tessera is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
part="$program.$$.part"
trap 'rm -f "$part"' EXIT
(cd "$source" && go build -mod=readonly -o "$part" .)
mv "$part" "$program"
echo "$program"
