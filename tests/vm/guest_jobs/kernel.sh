#!/bin/bash
# Run everything that is tested on each kernel, in the guest.
# usage: kernel.sh MODULE RANDOM_OPS OOPS_DIRECTORY SCHEDULER RANDOM_OPS_OPTION...
# Prints the kernel's release and the number of kfuncs in the module's BTF. Leaves the results of
# record-random-ops.sh and kernel-features.sh. The oopses come last.
set -e
module=$1 random_ops=$2 oops=$3 scheduler=$4
shift 4
uname -r
insmod "$module"
bpftool btf dump file /sys/kernel/btf/arenapoke | grep -c "FUNC 'arenapoke_\(read\|write\)"
rmmod arenapoke
sh files/record-random-ops.sh "$module" "$random_ops" "$@"
rmmod arenapoke 2>/dev/null || true
bash files/kernel-features.sh "$module" "$random_ops" "$oops" "$scheduler"
