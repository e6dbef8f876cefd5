#!/bin/sh
# usage: make-image.sh ROOTFS VENV GUEST IMAGE SIZE LABEL
#
# Writes an ext4 image of ROOTFS with VENV at /opt/venv and GUEST at /lab. The
# three are put together by bind mounts, in a mount namespace of its own, so
# that no layer is copied.
set -eu

rootfs=$1 venv=$2 guest=$3 image=$4 size=$5 label=$6

mount --bind "$rootfs" "$rootfs"
mount --bind "$venv" "$rootfs/opt/venv"
mount --bind "$guest" "$rootfs/lab"
exec mke2fs -q -t ext4 -O ^has_journal -L "$label" -d "$rootfs" -F "$image" "$size"
