"""The user behind sudo, to whom what is made belongs."""

import os
import pwd
from contextlib import suppress
from pathlib import Path


def caller(project: Path) -> pwd.struct_passwd | None:
    """Return the user who called sudo, if the project is that user's; else None."""
    number = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not number.isdigit() or int(number) == 0:
        return None
    try:
        user = pwd.getpwuid(int(number))
    except KeyError:
        return None
    return user if project.stat().st_uid == user.pw_uid else None


def become(user: pwd.struct_passwd) -> None:
    """Give up root for good; for the uml lab, which needs none."""
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)


def give(path: Path, user: pwd.struct_passwd) -> None:
    """Make a file, or a folder with all that is in it, belong to the user."""
    paths = [path]
    for folder, folders, files in os.walk(path):
        paths += [Path(folder, name) for name in folders + files]
    for each in paths:
        with suppress(FileNotFoundError):
            os.chown(each, user.pw_uid, user.pw_gid, follow_symlinks=False)
