#!/bin/sh
# Fetch EU DSS, the European Commission's validator of signatures, evidence records and ASiC containers, with what it needs, into the user's cache,
# once. Prints the folder. Needs Maven, some 30 MB of disk, and half a minute. dss.sha256 names every file with its digest: what is none of these is
# not kept.
set -eu

sums="$(cd "$(dirname "$0")" && pwd)/dss.sha256"

version=6.4
# Another name whenever the artefacts below change: a folder that is there counts as complete.
lib="${XDG_CACHE_HOME:-$HOME/.cache}/witnesstree/bin/dss-$version-asic"

if [ -d "$lib" ]; then
    (cd "$lib" && sha256sum --quiet --strict --check "$sums") >&2
    echo "$lib"
    exit 0
fi
if ! command -v mvn >/dev/null; then
    echo "dss.sh: Maven is not installed, and EU DSS comes by it" >&2
    exit 1
fi
part="$lib.$$.part"
trap 'rm -rf "$part"' EXIT
mkdir -p "$part/lib"
dependencies=""
for artefact in dss-evidence-record-asn1 dss-validation dss-utils-apache-commons dss-policy-jaxb dss-asic-cades; do
    dependencies="$dependencies<dependency><groupId>eu.europa.ec.joinup.sd-dss</groupId><artifactId>$artefact</artifactId><version>$version</version></dependency>"
done
cat >"$part/pom.xml" <<EOF
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>witnesstree</groupId><artifactId>dss</artifactId><version>$version</version>
  <dependencies>$dependencies</dependencies>
</project>
EOF
(cd "$part" && mvn --batch-mode --quiet dependency:copy-dependencies -DoutputDirectory="$part/lib") >&2
(cd "$part/lib" && sha256sum --quiet --strict --check "$sums") >&2
if [ "$(ls "$part/lib" | wc -l)" -ne "$(wc -l <"$sums")" ]; then
    echo "dss.sh: Maven brought files that dss.sha256 does not name" >&2
    exit 1
fi
mv "$part/lib" "$lib"
echo "$lib"
