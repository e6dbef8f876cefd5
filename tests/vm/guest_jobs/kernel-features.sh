#!/bin/bash
# Record every arena feature of a kernel, in the guest: random operations, then accesses that it
# does not recover from.
# usage: kernel-features.sh MODULE RANDOM_OPS OOPS_DIRECTORY SCHEDULER
# Leaves features.atrace, features.log, features.rc, oops.txt (result of each access),
# doctor.json, doctor.txt and dmesg.txt in $LAB_OUT.
module=$1 random_ops=$2 scheduler=$LAB_FILES/${4#files/}
cd "$3" || exit 1
random_ops=$LAB_FILES/${random_ops#files/} module=$LAB_FILES/${module#files/}
sysctl -q kernel.panic_on_oops=0

cases="no-program protection no-arena outside-arena"
before="insmod $module" after=true recovery=
if ! grep -q ' bpf_arena_handle_page_fault$' /proc/kallsyms; then
    # a kernel access is an oops: the random operations run without the module
    cases="no-handler protection"
    before=true after="insmod $module" recovery=--without-recovery
fi
arenatrace doctor >"$LAB_OUT/doctor.txt" 2>&1
arenatrace doctor --json >"$LAB_OUT/doctor.json"

cat >/tmp/operations.sh <<X
$before
$random_ops --truth "$LAB_OUT/features.json" --count 3000 --bad-nodes
if [ -e $scheduler ]; then
    mkdir -p /sys/fs/bpf/scheduler
    bpftool struct_ops register $scheduler /sys/fs/bpf/scheduler
    sleep 1
    cat /sys/kernel/sched_ext/root/ops
    rm -r /sys/fs/bpf/scheduler
fi
$after
./oops $cases >"$LAB_OUT/oops.txt"
X
# every recognised stack is compared with a walk: a difference is a loss
export ARENATRACE_CHECK_EVERY_STACK=1
# shellcheck disable=SC2086 # one word or none
arenatrace record $recovery --level stacks -o "$LAB_OUT/features.atrace" -- \
    bash /tmp/operations.sh 2>"$LAB_OUT/features.log"
echo $? >"$LAB_OUT/features.rc"
dmesg >"$LAB_OUT/dmesg.txt"
