#!/bin/sh
# Build litewitness, a C2SP tlog-witness, into the user's cache, once. Prints the path of the program.
# Needs Go (GOTOOLCHAIN=auto fetches the version that its go.mod names), some 500 MB of disk for Go's caches, and a minute.
set -eu

version=0.10.0
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"
program="$bin/litewitness"
mark="$program.version"

# The program itself does not say its version.
if [ -x "$program" ] && [ "$(cat "$mark" 2>/dev/null)" = "$version" ]; then
    echo "$program"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "litewitness.sh: Go is not installed, and litewitness is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
part="$bin/litewitness.$$.part"
trap 'rm -rf "$part"' EXIT
GOTOOLCHAIN=auto GOBIN="$part" go install "filippo.io/torchwood/cmd/litewitness@v$version"
mv "$part/litewitness" "$program"
echo "$version" >"$mark"
echo "$program"
