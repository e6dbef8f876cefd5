#!/bin/sh
# Record random operations on arenas, in the guest.
# usage: record-random-ops.sh MODULE RANDOM_OPS [OPTION...]
# Leaves random.atrace, random.json (the account), random.log (stderr of record), random.rc
# (its exit status) and random-dmesg.txt in $LAB_OUT. Without the kernel's fault handler the module
# is not loaded: a kernel access would be an oops.
module=$1 program=$2
shift 2
if grep -q ' bpf_arena_handle_page_fault$' /proc/kallsyms; then
    insmod "$module" || exit 1
    recovery=
else
    recovery=--without-recovery
fi
# shellcheck disable=SC2086 # one word or none
arenatrace record $recovery -o "$LAB_OUT/random.atrace" -- \
    "$program" --truth "$LAB_OUT/random.json" "$@" 2>"$LAB_OUT/random.log"
echo $? >"$LAB_OUT/random.rc"
dmesg >"$LAB_OUT/random-dmesg.txt"
