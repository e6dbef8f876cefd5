#!/bin/sh
# usage: in-root.sh ROOT OVER WRITABLE PLACE COMMAND...
#
# Runs COMMAND inside ROOT, which it cannot change, with the tree OVER laid over
# it and the directory WRITABLE seen as PLACE (both may be empty). Must be
# started in a mount namespace of its own: nothing is unmounted here, the
# namespace takes the mounts with it.
#
# The host's pip configuration, CA bundle (LAB_CA_BUNDLE) and resolver are lent
# through a tmpfs or a bind mount, so that nothing of them stays in the image.
set -eu

root=$1
over=$2
writable=$3
place=$4
shift 4

if [ -n "$over" ]; then
    mount -t overlay -o "ro,lowerdir=$over:$root" overlay "$root"
else
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
if [ -n "$writable" ]; then
    mount --bind "$writable" "$root$place"
fi
mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"

if [ -f /etc/pip.conf ]; then
    cp /etc/pip.conf "$root/tmp/pip.conf"
    export PIP_CONFIG_FILE=/tmp/pip.conf
fi
if [ -f "$LAB_CA_BUNDLE" ]; then
    cp "$LAB_CA_BUNDLE" "$root/tmp/ca-bundle.crt"
    export PIP_CERT=/tmp/ca-bundle.crt SSL_CERT_FILE=/tmp/ca-bundle.crt
fi

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec chroot "$root" "$@"
