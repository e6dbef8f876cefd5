"""The user behind sudo: the command runs as this user, who also owns the trace."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SudoUser:
    """The user behind sudo; ``groups`` are the supplementary ones."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find_sudo_user(environment: Mapping[str, str] = os.environ) -> SudoUser | None:
    """Return the user who ran sudo; None if there is none, it is root, or the account is unknown.

    The variables are trusted only if this process is root.
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
    return SudoUser(account.pw_name, account.pw_uid, account.pw_gid, groups)


def give(directory: Path, owner: SudoUser) -> None:
    """Make ``owner`` the owner of ``directory`` and its files. Raises OSError.

    The directory comes last: until then only root can write to it, so no link can be planted under
    a name that is about to change hands.
    """
    for path in directory.iterdir():
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    os.chown(directory, owner.uid, owner.gid, follow_symlinks=False)
