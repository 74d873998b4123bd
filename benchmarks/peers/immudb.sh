#!/bin/sh
# Build the stress tool of immudb's embedded store into the user's cache, once. Prints the path of the program.
# Needs Go and some 200 MB of disk. immudb is under the Business Source License 1.1: it is measured here and is no part of what we hand out.
set -eu

version=1.10.0
bin="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin"
program="$bin/immudb-stress-$version"

if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "immudb.sh: Go is not installed, and immudb is built with it" >&2
    exit 1
fi
mkdir -p "$bin"
cd "$bin"
# Built in the module's own folder, so that every version is the one in its go.mod.
source=$(go mod download -json "github.com/codenotary/immudb@v$version" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
if [ ! -d "$source" ]; then
    echo "immudb.sh: the source of immudb $version could not be downloaded" >&2
    exit 1
fi
part="$program.$$.part"
trap 'rm -f "$part"' EXIT
(cd "$source" && go build -mod=readonly -o "$part" ./embedded/tools/stress_tool)
mv "$part" "$program"
echo "$program"
