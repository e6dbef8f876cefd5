#!/bin/sh
# Debian splits venv off Python: install it if we may, otherwise say what to do.
set -eu

package=python3-venv
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $package"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package" >/dev/null
else
    echo "this Python cannot make virtual environments; on Debian and Ubuntu: sudo apt install $package" >&2
    exit 1
fi
