#!/bin/sh
# The whole path in one command: build, make keys, start the daemon, make two registers, encode, push, publish,
# query as analyst and verify the log as auditor. Leaves nothing running unless --keep.
#
# usage: sh deploy/quickstart.sh [--data DIR] [--persons N] [--keep]
#   --data DIR    take DIR/prison.csv and DIR/treatment.csv instead of synthetic registers
#   --persons N   size of the synthetic registers (default 4000)
#   --keep        leave the daemon running and say how to ask it
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/release
run=$root/build/quickstart
data=
persons=4000
keep=no
started=$(date +%s)

while [ $# -gt 0 ]; do
	case "$1" in
	--data) [ $# -ge 2 ] || { echo "--data needs a folder" >&2; exit 64; }; data=$2; shift 2 ;;
	--persons) [ $# -ge 2 ] || { echo "--persons needs a number" >&2; exit 64; }; persons=$2; shift 2 ;;
	--keep) keep=yes; shift ;;
	--help|-h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "quickstart: unknown option '$1' (try --help)" >&2; exit 64 ;;
	esac
done
for file in prison.csv treatment.csv; do
	[ -z "$data" ] || [ -r "$data/$file" ] || { echo "quickstart: $data/$file cannot be read" >&2; exit 66; }
done

step() { printf '\n== %s\n' "$*"; }

step "dependencies and build"
sh "$root/deploy/dependencies.sh" build
[ -f "$build/build.ninja" ] || cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTC_TESTS=OFF >/dev/null
ninja -C "$build" --quiet throughcared throughcare
PATH=$build/tools:$build/daemon:$PATH

# One quickstart at a time owns the folder; a daemon that an earlier --keep left is stopped.
stop_daemon() {
	[ -s "$run/daemon.pid" ] || return 0
	pid=$(cat "$run/daemon.pid")
	# After a reboot the number may be that of another process.
	if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = throughcared ] && kill "$pid" 2>/dev/null; then
		while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
	fi
	rm -f "$run/daemon.pid"
}
stop_daemon
rm -rf "$run"
mkdir -p "$run"
chmod 700 "$run"
finish() {
	status=$?
	[ "$keep" = yes ] && [ "$status" = 0 ] || stop_daemon
	if [ "$status" != 0 ]; then
		echo "quickstart failed; the daemon said:" >&2
		tail -n 20 "$run/daemon.log" >&2 2>/dev/null || true
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step "keys: authority, certificates, linkage secret, sealing key, log key"
study=$root/deploy/study-two-registers.yaml
[ -z "$data" ] || study=$root/tests/data/study-labelled.yaml
throughcare keys init "$run/keys" --study "$study" --listen 127.0.0.1:0
keys=$run/keys

step "daemon"
throughcared -c "$keys/daemon/throughcared.yaml" --port-file "$run/port" >"$run/daemon.log" 2>&1 &
echo $! >"$run/daemon.pid"
tries=0
until [ -s "$run/port" ]; do
	tries=$((tries + 1))
	kill -0 "$(cat "$run/daemon.pid")" 2>/dev/null && [ $tries -lt 1200 ] || exit 70
	sleep 0.1
done
THROUGHCARE_URL=https://localhost:$(cat "$run/port")
THROUGHCARE_CA=$keys/ca/ca.crt
export THROUGHCARE_URL THROUGHCARE_CA
echo "throughcared answers at $THROUGHCARE_URL"
as() { # as WHO COMMAND...: run a tool with that client's certificate
	who=$1; shift
	THROUGHCARE_CERT=$keys/$who/client.crt THROUGHCARE_KEY=$keys/$who/client.key throughcare "$@"
}

if [ -z "$data" ]; then
	step "two synthetic registers of $persons persons"
	data=$run/registers
	throughcare synth --persons "$persons" --seed 1 -o "$data"
fi

for source in prison treatment; do
	step "$source: encode and push"
	throughcare encode --study "$keys/study.yaml" --secret "$keys/custodians/main.secret" \
		--record-key "$keys/$source/record.key" --source $source "$data/$source.csv" -o "$run/$source.batch"
	as $source push --receipts "$run/receipts-$source" "$run/$source.batch"
done

# The registers cover 2024: as of this day its quarters are closed and none after them is.
step "operator: publish as of 2025-06-30"
as operator admin publish --as-of 2025-06-30

step "analyst: treatment within 21 days of release, by quarter"
as analyst query continuity_by_quarter
step "analyst: treatment within 21 days of release, by intervention in prison"
as analyst query continuity_by_intervention

step "auditor: verify the log"
as auditor audit verify --vkey "$keys/log.vkey" --state "$run/auditor.state"

printf '\nquickstart done in %s s.\n' "$(($(date +%s) - started))"
if [ "$keep" = yes ]; then
	cat <<EOF

The daemon is still running (pid $(cat "$run/daemon.pid"), log $run/daemon.log). As analyst:
  export THROUGHCARE_URL=$THROUGHCARE_URL THROUGHCARE_CA=$keys/ca/ca.crt
  export THROUGHCARE_CERT=$keys/analyst/client.crt THROUGHCARE_KEY=$keys/analyst/client.key
  $build/tools/throughcare query
Stop it with: kill $(cat "$run/daemon.pid")
EOF
fi
