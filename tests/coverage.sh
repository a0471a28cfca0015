#!/bin/sh
# Which lines of daemon, proto and keys the tests reach, and which not and why (docs/coverage.md): builds with counters, runs
# what is labelled quick, prints the share of each folder and the lines that were not run by reason. Needs Debian's gcovr; half an
# hour on two processors. Daemons run without confinement here, since a confined process cannot write its counters; what is about
# confinement itself is therefore left out, and what a killed process had counted is lost.
# usage: sh tests/coverage.sh [ctest arguments]       in parts: -R …, then KEEP=1 and another -R; nothing is forgotten then
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is missing: apt-get install gcovr" >&2; exit 69; }
cmake --preset coverage -DTC_TESTS=ON >/dev/null
cmake --build --preset coverage -j "$(nproc)" -- --quiet
[ -n "${KEEP:-}" ] || find build/coverage -name '*.gcda' -delete
TC_COVERAGE=1 ctest --preset coverage -j "$(nproc)" -L quick -E 'confined|bench|^ref\.|two_processes|attack' "$@" || echo "coverage.sh: some tests failed"
gcovr --root . --object-directory build/coverage --filter 'daemon/' --filter 'proto/' --filter 'keys/' --exclude '.*pb-c.*' \
	--gcov-ignore-parse-errors --json build/coverage/lines.json --txt build/coverage/lines.txt --sort-percentage >/dev/null
python3 tests/uncovered.py build/coverage/lines.json > build/coverage/uncovered.txt
sed '/^==/,$d' build/coverage/uncovered.txt
echo "each file: build/coverage/lines.txt; each line that was not run: build/coverage/uncovered.txt"
