#!/bin/sh
# usage: make-image.sh ROOTFS OVER VENV GUEST IMAGE SIZE LABEL
#
# Writes an ext4 image of ROOTFS, the tree OVER (may be empty) laid over it, with
# VENV at /opt/venv and GUEST at /lab. They are put together by mounts, in a mount
# namespace of its own, so that no layer is copied.
set -eu

rootfs=$1 over=$2 venv=$3 guest=$4 image=$5 size=$6 label=$7

if [ -n "$over" ]; then
    mount -t overlay -o "ro,lowerdir=$over:$rootfs" overlay "$rootfs"
else
    mount --bind "$rootfs" "$rootfs"
fi
mount --bind "$venv" "$rootfs/opt/venv"
mount --bind "$guest" "$rootfs/lab"
exec mke2fs -q -t ext4 -O ^has_journal -L "$label" -d "$rootfs" -F "$image" "$size"
