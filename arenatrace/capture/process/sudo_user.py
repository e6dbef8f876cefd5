"""Who called sudo: the recorded command runs as them, and the trace is theirs."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Invoker:
    """The user behind sudo; ``groups`` are the supplementary ones."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def behind_sudo(environment: Mapping[str, str] = os.environ) -> Invoker | None:
    """The user who ran sudo, None if nobody did, root did, or the account is unknown.

    The variables are believed only as root: for anyone else they change nothing.
    """
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwuid(int(environment.get("SUDO_UID", "0")))
    except (KeyError, ValueError, OverflowError):
        return None
    if account.pw_uid == 0:
        return None
    groups = tuple(os.getgrouplist(account.pw_name, account.pw_gid))
    return Invoker(account.pw_name, account.pw_uid, account.pw_gid, groups)


def give(directory: Path, owner: Invoker) -> None:
    """Make ``owner`` the owner of ``directory`` and the files in it; OSError if refused.

    The directory goes last: until then nobody but root can put anything into it, so no
    link can be planted under a name that is about to change hands.
    """
    for path in directory.iterdir():
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    os.chown(directory, owner.uid, owner.gid, follow_symlinks=False)
