#!/bin/sh
# Run one mode of the workload and compare it with the kernel's own reports.
# usage: run.sh BUILD OUT MODE [wl options]
# Leaves MODE.json (ground truth), MODE.streams/ and MODE.dmesg in OUT. Fails on any difference
# between truth and reports, and on anything new in the kernel log that is an oops or a warning.
set -eu
here=$(dirname "$0") build=$1 out=$2 mode=$3
shift 3
grep -q '^arenapoke ' /proc/modules || insmod "$build/arenapoke.ko"
mkdir -p "$out"
rm -rf "$out/$mode.json" "$out/$mode.streams"
before=$(dmesg | wc -l)
"$build/wl" "$mode" --truth "$out/$mode.json" --streams "$out/$mode.streams" "$@"
dmesg | tail -n "+$((before + 1))" > "$out/$mode.dmesg"
if grep -E 'BUG:|WARNING:|Oops|Call Trace:|Unable to handle' "$out/$mode.dmesg"; then
	echo "run.sh: the kernel complained" >&2
	exit 1
fi
python3 "$here/check_truth.py" "$out/$mode.json" "$out/$mode.streams"
