#!/bin/sh
# usage: unpack-debs.sh ARCHIVES ROOT RELEASE    (runs inside the guest's root)
#
# Unpacks every package in ARCHIVES below ROOT and lists the kernel's modules for modprobe.
# No maintainer script runs: all they would do for these packages is make an initrd and
# boot entries, which the lab has no use for.
set -eu

archives=$1 root=$2 release=$3

for name in bin sbin lib lib64; do
    mkdir -p "$root/usr/$name"
    ln -s "usr/$name" "$root/$name"
done
for deb in "$archives"/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --directory "$root"
done
depmod -b "$root" "$release"
