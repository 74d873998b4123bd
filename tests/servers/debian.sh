#!/bin/sh
# Install from Debian what tests run against and what is missing here: PostgreSQL, age, OpenSSH's client, BouncyCastle with Java, Maven, strace and chrony. Elsewhere, or without root's rights,
# say what is missing: the tests that need it are skipped, or fail where nothing may be missing.
set -eu

missing=""
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing="postgresql"
command -v age >/dev/null || missing="$missing age"
command -v ssh-keygen >/dev/null || missing="$missing openssh-client"
[ -f /usr/share/java/bcpkix.jar ] || missing="$missing libbcpkix-java"
command -v javac >/dev/null || missing="$missing default-jdk-headless"
command -v mvn >/dev/null || missing="$missing maven"
command -v openssl >/dev/null || missing="$missing openssl"
command -v strace >/dev/null || missing="$missing strace"
[ -x /usr/sbin/chronyd ] || command -v chronyd >/dev/null || missing="$missing chrony"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update --quiet=2
    # shellcheck disable=SC2086 - several words
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends $missing
else
    echo "debian.sh: not installed, and tests want it: $missing" >&2
fi
