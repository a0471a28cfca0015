#!/bin/sh
# Which lines of daemon, proto and keys the tests reach: builds with counters, runs what is labelled quick, prints the share of
# each file. Needs Debian's gcovr. Daemons run without confinement here, since a confined one cannot write its counters; what
# is about confinement itself is therefore left out, and so is who is killed.
# usage: sh tests/coverage.sh [ctest arguments]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is missing: apt-get install gcovr" >&2; exit 69; }
cmake --preset coverage -DTC_TESTS=ON >/dev/null
cmake --build --preset coverage -j "$(nproc)" -- --quiet
find build/coverage -name '*.gcda' -delete
TC_COVERAGE=1 ctest --preset coverage -j "$(nproc)" -L quick -E 'confined|bench|^ref\.|two_processes|attack' "$@" || echo "coverage.sh: some tests failed"
gcovr --root . --object-directory build/coverage --filter 'daemon/' --filter 'proto/' --filter 'keys/' --exclude '.*pb-c.*' \
	--gcov-ignore-parse-errors --txt build/coverage/lines.txt --sort-percentage >/dev/null
cat build/coverage/lines.txt
