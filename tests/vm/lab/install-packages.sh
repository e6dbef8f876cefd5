#!/bin/sh
# What the tests need on Debian: QEMU, debootstrap, mke2fs, a C compiler and tmux.
set -eu

missing=""
command -v qemu-system-x86_64 >/dev/null || missing="$missing qemu-system-x86"
command -v debootstrap >/dev/null || missing="$missing debootstrap"
command -v mke2fs >/dev/null || [ -x /sbin/mke2fs ] || missing="$missing e2fsprogs"
# the tests hold the probes' C header against the Python side of it
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
# the terminal interface is looked at in a real terminal
command -v tmux >/dev/null || missing="$missing tmux"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "the lab needs these packages: sudo apt install$missing" >&2
    exit 1
fi
echo "installing$missing"
apt-get update -q >/dev/null
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null
