#!/bin/sh
# Record a command onto a disk that becomes full; the command goes on. Runs in the guest.
# Leaves full.atrace, full.err, full.rc and full.went-on, written by the command afterwards: the
# number of tracing programs, and whether the storm still ran.
# usage: full-disk.sh STORM
mkdir /tmp/small
mount -t tmpfs -o size=4m none /tmp/small
cat >/tmp/full.sh <<X
"$1" --cpus 2 --pairs 1000000000 --pause 10000 &
for _ in \$(seq 600); do
    grep -q "the command goes on" "$LAB_OUT/full.err" && break
    sleep 0.1
done
# an emulated CPU may not survive code patching: the storm is stopped meanwhile
kill -STOP \$!
for _ in \$(seq 100); do
    tracing=\$(bpftool prog show | grep -c ' tracing ')
    [ "\$tracing" = 0 ] && break
    sleep 0.1
done
kill -CONT \$!
echo "\$tracing" >"$LAB_OUT/full.went-on"
sleep 1
kill \$! && echo "the storm ran" >>"$LAB_OUT/full.went-on"
exit 7
X
arenatrace record -o /tmp/small/full.atrace -- sh /tmp/full.sh \
    >"$LAB_OUT/full.out" 2>"$LAB_OUT/full.err"
echo $? >"$LAB_OUT/full.rc"
df -k /tmp/small | tail -1 >"$LAB_OUT/full.df"
cp -a /tmp/small/full.atrace "$LAB_OUT"
