#!/bin/sh
# Record storms of allocations, in the guest. Each leaves NAME.atrace, NAME.json (the program's
# own account), NAME.log (what record said) and NAME.rc (its exit status) in $LAB_OUT.
# usage: storm.sh STORM PAIRS
storm=$1 pairs=$2

# Records one storm.
record() { # NAME OPTION... -- STORM-OPTION...
    name=$1
    shift
    options=
    while [ "$1" != -- ]; do options="$options $1"; shift; done
    shift
    # shellcheck disable=SC2086 # words
    arenatrace record $options -o "$LAB_OUT/$name.atrace" -- \
        "$storm" --cpus 2 --truth "$LAB_OUT/$name.json" "$@" 2>"$LAB_OUT/$name.log"
    echo $? >"$LAB_OUT/$name.rc"
}

record default -- --pairs "$pairs"
# a ring of some 700 records, and interrupts that break into the probes
record tiny --ring-size 64K --notes-ring-size 64K -- \
    --pairs 20000 --reserve-every 10 --touch-every 50 --tick 2000
# one stack for each of allocate, free and reserve on each CPU
record stacks --level stacks -- --pairs 10000 --reserve-every 10
# the other way of reading the rings
export ARENATRACE_UNMAPPED_RINGS=1
record unmapped -- --pairs 10000 --touch-every 100
