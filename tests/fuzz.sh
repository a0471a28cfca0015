#!/bin/sh
# Fuzz every decoder for a fixed time with libFuzzer under ASan and UBSan, from the corpora in tests/fuzz/corpus, as many at once as
# there are processors. A finding fails, and is printed with its input: put that into the decoder's corpus with the fix.
#
# usage: sh tests/fuzz.sh [--seconds N] [--seed N] [DECODER...]
#   --seconds N  for each decoder; 12 if not said
#   --seed N     the same inputs in the same order; if not said, each run has its own
#   DECODER      as in tests/fuzz/fuzz_DECODER.c; all if not said
# What reaches new code stays in build/fuzz/found and is gone on from; inputs of findings are in build/fuzz/findings.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
seconds=12
seed=0
while [ $# -gt 0 ]; do
	case "$1" in
	--seconds|--seed)
		case "${2:-}" in ''|*[!0-9]*) echo "fuzz.sh: $1 needs a number" >&2; exit 64 ;; esac
		[ "$1" = --seed ] && seed=$2 || seconds=$2
		shift 2 ;;
	--help|-h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "fuzz.sh: unknown option '$1' (try --help)" >&2; exit 64 ;;
	*) break ;;
	esac
done
cd "$root"
if [ $# -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		set -- "$@" "${name%.c}"
	done
fi
for name in "$@"; do
	[ -d "tests/fuzz/corpus/$name" ] && [ -f "tests/fuzz/fuzz_$name.c" ] || { echo "fuzz.sh: no decoder '$name' with a corpus" >&2; exit 64; }
done

sh deploy/dependencies.sh test
cmake --preset fuzz -DTC_TESTS=ON >/dev/null
cmake --build --preset fuzz --target fuzzers -j "$(nproc)" -- --quiet
rm -rf build/fuzz/findings
mkdir -p build/fuzz/findings build/fuzz/found build/fuzz/logs

# Limits are for what hangs or eats memory, not for a busy machine.
one='name=$1 log=build/fuzz/logs/$1
mkdir -p "build/fuzz/found/$name"
if timeout -k 10 "$(($2 + 900))" "build/fuzz/tests/fuzz_$name" -max_total_time="$2" -seed="$3" -timeout=300 -rss_limit_mb=4096 \
	-print_final_stats=1 -artifact_prefix="build/fuzz/findings/$name-" "build/fuzz/found/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1 &&
	inputs=$(sed -n "s/^Done \([0-9]*\) runs.*/\1/p" "$log") && [ "${inputs:-0}" -gt 0 ]; then
	echo "$name: $inputs inputs, no finding"
	exit 0
fi
{
	echo "$name: FINDING, or it did not run; the end of $log:"
	tail -n 60 "$log"
	for input in "build/fuzz/findings/$name"-*; do
		[ -f "$input" ] || continue
		echo "$input, as base64 of at most 64 KiB:"
		head -c 65536 "$input" | base64
	done
} >"build/fuzz/findings/report-$name"
cat "build/fuzz/findings/report-$name"
exit 1'
printf '== fuzzing %d decoders, %d seconds each\n' "$#" "$seconds"
printf '%s\n' "$@" | xargs -P "$(nproc)" -I NAME sh -c "$one" fuzz.sh NAME "$seconds" "$seed" ||
	{ echo "fuzz.sh: see above, or build/fuzz/findings" >&2; exit 1; }
