#!/bin/sh
# Install test dependencies, build with warnings as errors, and run the whole suite through ctest.
#
# usage: sh tests/run.sh [--full] [--again] [--only release|debug|tsan]
#   --full   also what takes longer than a build should: label "full"
#   --again  run a test that failed once more, and name those that then passed: each of them is a bug to look for
#   release  everything, as users run it
#   debug    everything again under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan     the system suite and what else has threads again under ThreadSanitizer
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
full=no
again=
only=
while [ $# -gt 0 ]; do
	case "$1" in
	--full) full=yes; shift ;;
	--again) again='--repeat until-pass:2'; shift ;;
	--only) [ $# -ge 2 ] || { echo "--only needs release, debug or tsan" >&2; exit 64; }; only=$2; shift 2 ;;
	--help|-h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "run.sh: unknown option '$1' (try --help)" >&2; exit 64 ;;
	esac
done
case "$only" in ''|release|debug|tsan) ;; *) echo "run.sh: --only takes release, debug or tsan" >&2; exit 64 ;; esac

sh "$root/deploy/dependencies.sh" test
cd "$root"
labels=quick
[ "$full" = no ] || labels='quick|full'
jobs=$(nproc)

# A program of this size under sanitizers is slow on two cores: the longest system tests run once, on the release build.
run() { # run PRESET CTEST-ARGUMENTS...
	preset=$1; shift
	printf '\n== %s\n' "$preset"
	cmake --preset "$preset" -DTC_TESTS=ON >/dev/null
	cmake --build --preset "$preset" -j "$jobs" -- --quiet
	# shellcheck disable=SC2086
	ctest --preset "$preset" -j "$jobs" --no-tests=error --output-log "build/$preset/tests.log" $again "$@"
	if [ -n "$again" ] && grep -E '[.]+ *\*\*\*' "build/$preset/tests.log" >"build/$preset/twice"; then
		printf '%s: passed only when run again:\n' "$preset"
		cat "build/$preset/twice"
	fi
}
[ -n "$only" ] && [ "$only" != release ] || run release -L "$labels"
[ -n "$only" ] && [ "$only" != debug ] || run debug -L "$labels" -LE once
[ -n "$only" ] && [ "$only" != tsan ] || run tsan -L threads
