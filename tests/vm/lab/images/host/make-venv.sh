#!/bin/sh
# usage: make-venv.sh REQUIREMENT...    (runs inside the guest's root)
#
# Fills /opt/venv. The system's packages are visible in it, since BCC's Python
# module comes from the distribution. /job/site, where each run's job disk puts
# the project, is on its path; a .pth entry that does not exist is ignored.
set -eu

python3 -m venv --system-site-packages /opt/venv
/opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --only-binary :all: --constraint /opt/venv/constraints.txt "$@"
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo /job/site > "$site/job-site.pth"
