#!/bin/sh
# Install what is missing on Debian 12 to build (and with "test" to test) Throughcare. Does nothing when all is there.
# usage: sh deploy/dependencies.sh build|test
set -eu

build="gcc libc6-dev cmake ninja-build pkg-config libssl-dev libevent-dev liblmdb-dev zlib1g-dev node-llhttp
	libprotobuf-c-dev protobuf-c-compiler libjansson-dev libyaml-dev libcurl4-openssl-dev libcsv-dev
	libutf8proc-dev libsystemd-dev libseccomp-dev libp11-kit-dev"
test="python3 python3-pytest python3-numpy python3-jsonschema libcmocka-dev libglpk-dev openssl binutils procps strace softhsm2 clang-14 libclang-rt-14-dev golang-go
	golang-golang-x-mod-dev"
# Debian's first libevent of bookworm has known holes; this version closes them.
libevent_fixed=2.1.12-stable-8+deb12u1

case "${1:-}" in
build) wanted=$build ;;
test) wanted="$build $test" ;;
*) echo "usage: sh deploy/dependencies.sh build|test" >&2; exit 64 ;;
esac

missing=
for package in $wanted; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
installed=$(dpkg-query -W -f '${Version}' libevent-2.1-7 2>/dev/null || echo 0)
for library in libevent-core-2.1-7 libevent-openssl-2.1-7; do
	version=$(dpkg-query -W -f '${Version}' "$library" 2>/dev/null || echo 0)
	dpkg --compare-versions "$version" ge "$installed" || installed=$version
done
if [ -z "$missing" ] && dpkg --compare-versions "$installed" ge "$libevent_fixed"; then
	exit 0
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "installing from Debian:$missing" >&2
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 update -qq
# shellcheck disable=SC2086  # the lists are words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y -qq --no-install-recommends $wanted >/dev/null
version=$(dpkg-query -W -f '${Version}' libevent-core-2.1-7)
if ! dpkg --compare-versions "$version" ge "$libevent_fixed"; then
	echo "libevent $version has known security holes; $libevent_fixed or later is needed (Debian's security archive has it)" >&2
	exit 1
fi
