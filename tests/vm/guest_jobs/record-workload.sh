#!/bin/sh
# Record the fault workload in the guest, one trace for each argument.
# usage: record-workload.sh BUILD MODES[@LEVEL]...
# MODES are modes of wl joined by "+". Leaves in $LAB_OUT, for each argument: .atrace, .json
# (ground truth), .streams/ (the kernel's own reports) and .log (stderr of record); and once
# doctor.json and dmesg.txt.
set -eu
build=$1
shift

# record NAME LEVEL COMMAND...; $ring is the size of the ring, if not the default
small=64K ring=
record() {
    name=$1 level=$2
    shift 2
    arenatrace record --level "$level" ${ring:+--ring-size "$ring"} -o "$LAB_OUT/$name.atrace" \
        -- "$@" 2>"$LAB_OUT/$name.log" ||
        # 4: events were lost, which a small ring must cause
        [ "$?$ring" = "4$small" ]
}

# The recording begins in the middle of the workload.
record_old() {
    "$build/wl" old --truth "$LAB_OUT/$1.json" --streams "$LAB_OUT/$1.streams" \
        --ready ready --go go &
    until [ -e ready ]; do sleep 0.1; done
    # shellcheck disable=SC2016 # $1 is of the shell that is recorded
    record "$1" "$2" sh -c 'touch go; while kill -0 "$1" 2>&-; do sleep 0.1; done' sh $!
    wait $!
}

insmod "$build/arenapoke.ko"
insmod "$build/arenarace.ko"
arenatrace doctor --json >"$LAB_OUT/doctor.json"
for word in "$@"; do
    modes=$(echo "${word%@*}" | tr + ' ')
    case $word in
        *@*) level=${word#*@} ;;
        *) level=pages ;;
    esac
    case $modes in
        old) record_old "$word" "$level" ;;
        *)
            case $modes in lossy) ring=$small ;; *) ring= ;; esac
            # a busy host may stop an emulated CPU for longer than a race waits: the workload says so
            for try in first second last; do
                # shellcheck disable=SC2086 # several modes are several words
                record "$word" "$level" "$build/wl" $modes --truth "$LAB_OUT/$word.json" \
                    --streams "$LAB_OUT/$word.streams"
                late='the other CPU did not come in time'
                if [ "$try" = last ] || ! grep -q "$late" "$LAB_OUT/$word.log"; then
                    break
                fi
                echo "$word: $late: again" >&2
                rm -rf "$LAB_OUT/$word.atrace" "$LAB_OUT/$word.json" "$LAB_OUT/$word.streams"
            done
            ;;
    esac
done
dmesg >"$LAB_OUT/dmesg.txt"
