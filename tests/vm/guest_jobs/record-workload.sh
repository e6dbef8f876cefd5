#!/bin/sh
# Record each mode of the fault workload that is named, one trace each, in the guest.
# usage: record-workload.sh BUILD MODE...
# Leaves MODE.atrace, MODE.json (ground truth), MODE.streams/ (the kernel's own reports),
# MODE.log (what record said), doctor.json and dmesg.txt in $LAB_OUT.
set -eu
build=$1
shift
insmod "$build/arenapoke.ko"
arenatrace doctor --json >"$LAB_OUT/doctor.json"
for mode in "$@"; do
    arenatrace record -o "$LAB_OUT/$mode.atrace" -- \
        "$build/wl" "$mode" --truth "$LAB_OUT/$mode.json" --streams "$LAB_OUT/$mode.streams" \
        2>"$LAB_OUT/$mode.log"
done
dmesg >"$LAB_OUT/dmesg.txt"
