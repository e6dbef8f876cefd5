#!/bin/bash
# Run every case that `arenatrace record` must refuse or survive, in the guest. Each case leaves
# CASE.err (stderr), CASE.rc (exit status) and sometimes a trace in $LAB_OUT.
set -u
release=$(uname -r)
cd /tmp || exit 1

# shellcheck disable=SC2317 # called through "as"
attempt() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$LAB_OUT/$name.out" 2>"$LAB_OUT/$name.err"
    echo $? >"$LAB_OUT/$name.rc"
}

attempt not-root setpriv --reuid=65534 --regid=65534 --clear-groups \
    arenatrace record -o /tmp/refused.atrace
attempt one-capability setpriv --bounding-set -all,+bpf --inh-caps -all \
    arenatrace record -o /tmp/refused.atrace

packages=/usr/lib/python3/dist-packages
mv $packages/bcc $packages/bcc.away
attempt no-bcc arenatrace record -o /tmp/refused.atrace
mv $packages/bcc.away $packages/bcc

mv "/lib/modules/$release/build" "/lib/modules/$release/build.away"
attempt no-headers arenatrace record -o /tmp/refused.atrace
mv "/lib/modules/$release/build.away" "/lib/modules/$release/build"

mount -t tmpfs none /sys/kernel/btf
attempt no-btf arenatrace record -o /tmp/refused.atrace
umount /sys/kernel/btf

# this kernel's own types, with the handler under another name
sed 's/bpf_arena_handle_page_fault/bpf_arena_handle_page_other/g' /sys/kernel/btf/vmlinux >/tmp/btf
mount --bind /tmp/btf /sys/kernel/btf/vmlinux
attempt no-handler arenatrace record -o /tmp/refused.atrace
umount /sys/kernel/btf/vmlinux

mkdir /tmp/there && echo mine >/tmp/there/file
attempt exists arenatrace record -o /tmp/there
attempt no-parent arenatrace record -o /tmp/nowhere/run.atrace
mkdir /tmp/ro && mount -t tmpfs -o ro none /tmp/ro
attempt read-only arenatrace record -o /tmp/ro/run.atrace
attempt no-command arenatrace record -o /tmp/refused.atrace -- /tmp/no-such-program
attempt no-duration arenatrace record -o /tmp/refused.atrace --duration 0

attempt odd-ring arenatrace record -o /tmp/refused.atrace --ring-size 3M
attempt huge-ring arenatrace record -o /tmp/refused.atrace --ring-size 4G
attempt tiny-notes-ring arenatrace record -o /tmp/refused.atrace --notes-ring-size 2K
attempt no-memory arenatrace record -o /tmp/refused.atrace --ring-size 2G --notes-ring-size 2G

echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/small && echo 300M >/sys/fs/cgroup/small/memory.max
# shellcheck disable=SC2016 # the inner shell's own pid
attempt small-cgroup sh -c 'echo $$ >/sys/fs/cgroup/small/cgroup.procs
    exec arenatrace record -o /tmp/refused.atrace --ring-size 512M'
# the limit cannot be read here: the kernel refuses the allocation
# shellcheck disable=SC2016
attempt kernel-refuses unshare --mount sh -c 'echo $$ >/sys/fs/cgroup/small/cgroup.procs
    mount -t tmpfs none /sys/fs/cgroup
    exec arenatrace record -o /tmp/refused.atrace --ring-size 512M'

{ ls -d /tmp/refused.atrace 2>/dev/null; cat /tmp/there/file; ls /tmp/there; } >"$LAB_OUT/left"

# shellcheck disable=SC2016 # the inner shell's own pid
attempt killed-command arenatrace record -o "$LAB_OUT/killed.atrace" -- sh -c 'kill -9 $$'

# a shell without a terminal starts background jobs with SIGINT ignored
env --default-signal=INT \
    arenatrace record -o "$LAB_OUT/interrupted.atrace" 2>"$LAB_OUT/interrupted.err" &
recorder=$!
until grep -q recording "$LAB_OUT/interrupted.err" 2>/dev/null; do sleep 0.2; done
kill -INT $recorder
wait $recorder
echo $? >"$LAB_OUT/interrupted.rc"
stat -c %a "$LAB_OUT/interrupted.atrace" "$LAB_OUT/interrupted.atrace/meta.json" >"$LAB_OUT/modes"
