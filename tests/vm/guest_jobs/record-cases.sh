#!/bin/sh
# Record the programs of docs/cases, as they were and fixed: four traces.
# usage: record-cases.sh FAULTS_BUILD CASES_BUILD
# Leaves in $LAB_OUT, for each of sessions, sessions-fixed, queue and queue-fixed: .atrace, .out
# (what the programs and the kernel printed) and .log (stderr of the recorder).
set -eu
faults=$1 cases=$2

# record_case NAME PROGRAM...: loads NAME.bpf.o and runs the programs
record_case() {
    name=$1
    shift
    # the object keeps its name in the output of every case
    cp "$cases/$name.bpf.o" "${name%-fixed}.bpf.o"
    arenatrace record --level stacks -o "$LAB_OUT/$name.atrace" --as-root -- \
        "$cases/run_programs" "${name%-fixed}.bpf.o" "$@" \
        >"$LAB_OUT/$name.out" 2>"$LAB_OUT/$name.log"
    grep 'command ended with status 0' "$LAB_OUT/$name.log" || {
        cat "$LAB_OUT/$name.log"
        exit 1
    }
}

insmod "$faults/arenapoke.ko"
for name in sessions sessions-fixed; do
    record_case "$name" open_session log_message close_session log_message log_message \
        open_session log_message close_session
done
for name in queue queue-fixed; do
    record_case "$name" 'push_buffer*40' 'pop_buffer*40' 'push_buffer*30'
done
