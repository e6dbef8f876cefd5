#!/bin/sh
# Record the workloads of docs/cases: each with its bug, then fixed.
# usage: record-cases.sh FAULTS_BUILD CASES_BUILD apart|together|run
# Leaves in $LAB_OUT NAME.out, what the programs and the kernel printed, for each of sessions,
# sessions-fixed, queue and queue-fixed. "apart" leaves a NAME.atrace for each, "together" one
# cases.atrace. "run" records nothing.
set -eu
faults=$1 cases=$2 how=$3

# the object has one name, with its bug and fixed, as the output shows it
run_case() {
    name=$1
    shift
    cp "$cases/$name.bpf.o" "${name%-fixed}.bpf.o"
    # shellcheck disable=SC2046 # several programs are several words
    "$@" "$cases/run_programs" "${name%-fixed}.bpf.o" $(programs "${name%-fixed}") \
        >"$LAB_OUT/$name.out"
}

programs() {
    case $1 in
        sessions)
            echo open_session log_message close_session log_message log_message \
                open_session log_message close_session
            ;;
        queue) echo 'push_buffer*40' 'pop_buffer*40' 'push_buffer*30' ;;
    esac
}

record() {
    trace=$1
    shift
    arenatrace record --level stacks -o "$trace" --as-root -- "$@" 2>"$LAB_OUT/record.log"
    if ! grep 'command ended with status 0' "$LAB_OUT/record.log" >&2; then
        cat "$LAB_OUT/record.log" >&2
        return 1
    fi
}

case $how in
    apart)
        insmod "$faults/arenapoke.ko"
        for name in sessions sessions-fixed queue queue-fixed; do
            run_case "$name" record "$LAB_OUT/$name.atrace"
        done
        ;;
    together)
        insmod "$faults/arenapoke.ko"
        record "$LAB_OUT/cases.atrace" sh "$0" "$faults" "$cases" run
        ;;
    run)
        for name in sessions sessions-fixed queue queue-fixed; do
            run_case "$name"
        done
        ;;
esac
