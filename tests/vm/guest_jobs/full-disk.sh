#!/bin/sh
# Record onto a disk that is soon full, in the guest. Leaves full.atrace, full.err and full.rc.
# usage: full-disk.sh STORM
mkdir /tmp/small
mount -t tmpfs -o size=16m none /tmp/small
arenatrace record -o /tmp/small/full.atrace -- "$1" --cpus 2 --pairs 1000000000 --pause 10000 \
    >"$LAB_OUT/full.out" 2>"$LAB_OUT/full.err"
echo $? >"$LAB_OUT/full.rc"
df -k /tmp/small | tail -1 >"$LAB_OUT/full.df"
cp -a /tmp/small/full.atrace "$LAB_OUT"
