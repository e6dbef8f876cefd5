#!/bin/bash
# Run filtered, unprivileged and flight recorders around the fault workload, in the guest.
# usage: capture-features.sh BUILD
# Leaves in $LAB_OUT, each with its .log and .rc: the traces of three recorders that ran at the
# same time, arena.atrace (without root: capabilities only), program.atrace and cgroup.atrace;
# flight/, the folder of a flight recorder, and cut/, of one that was killed and started again.
# all.json and flight.json are the workload's accounts; typo.log is the error of a filter.
build=$LAB_FILES/${1#files/}
insmod "$build/arenapoke.ko"
out=$LAB_OUT

recorder() { # NAME COMMAND...: starts it and waits until it records
    local name=$1
    shift
    { "$@" 2>"$out/$name.log"; echo $? >"$out/$name.rc"; } &
}
await() { # NAME TEXT
    # or until the recorder has ended
    until grep -q "$2" "$out/$1.log" 2>/dev/null || [ -e "$out/$1.rc" ]; do sleep 0.2; done
}

# ---- three at once ----
mkdir -p /sys/fs/cgroup
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/other
mkdir -m 777 /tmp/any
# a background job of a shell without a terminal ignores SIGINT
recorder arena setpriv --reuid=65534 --regid=65534 --clear-groups \
    --inh-caps=-all,+bpf,+perfmon --ambient-caps=-all,+bpf,+perfmon \
    env --default-signal=TERM HOME=/tmp/any arenatrace record --arena alpha_arena --later \
    -o /tmp/any/arena.atrace
recorder program arenatrace record --program beta --later -o "$out/program.atrace"
recorder cgroup arenatrace record --cgroup other -o "$out/cgroup.atrace"
await arena recording
await program recording
await cgroup recording
"$build/wl" all --truth "$out/all.json" --streams "$out/all.streams"
pkill -TERM -f '[r]ecord --(arena|program|cgroup)'
wait
cp -r /tmp/any/arena.atrace "$out/"
arenatrace record --program nobody -o "$out/typo.atrace" 2>"$out/typo.log"
echo $? >"$out/typo.rc"

# ---- a flight recorder, and one that is killed ----
recorder cut arenatrace record --keep 4s -o "$out/cut"
cat >/tmp/flight.sh <<X
sleep 6
"$build/wl" all --truth "$out/flight.json" --streams "$out/flight.streams"
sleep 7
X
recorder flight arenatrace record --keep 4s --level stacks -o "$out/flight" -- bash /tmp/flight.sh
await cut recording
# the flight recorder runs the workload; the other recorder is killed after it
until [ -e "$out/flight.json" ] || [ -e "$out/flight.rc" ]; do sleep 0.1; done
sleep 1
pkill -KILL -f '[r]ecord --keep 4s -o .*/cut'
until [ -e "$out/flight.rc" ]; do sleep 0.2; done
arenatrace record --keep 4s --duration 1 -o "$out/cut" 2>"$out/again.log"
echo $? >"$out/again.rc"
