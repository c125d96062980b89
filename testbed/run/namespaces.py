"""Network, mount and PID namespaces for this process and its children (namespaces(7))."""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEWNS, NEWPID, NEWNET = 0x00020000, 0x20000000, 0x40000000  # linux/sched.h
_PR_SET_PDEATHSIG = 1
_MS_PRIVATE, _MS_REC, _MS_BIND = 1 << 18, 1 << 14, 1 << 12
_LIBC = ctypes.CDLL(None, use_errno=True)
_FOLDERS = ("netns", "lock", "home")  # Below /run; see also enter.sh, for programs of a lab.


def _succeed(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones; PID: this process's children do."""
    _succeed(_LIBC.unshare(flags), "unshare")


def enter(namespace: int, kind: int) -> None:
    """Let this thread enter the namespace that a descriptor stands for."""
    _succeed(_LIBC.setns(namespace, kind), "setns")


def current(kind: str) -> int:
    """Return a descriptor of this thread's namespace of a kind, by its name in proc(5)."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def _coming_back() -> Iterator[None]:
    """Let this thread be in its own network namespace again afterwards."""
    own = current("net")
    try:
        yield
    finally:
        enter(own, NEWNET)
        os.close(own)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Make sockets and start programs of this thread in a network namespace."""
    with _coming_back():
        enter(namespace, NEWNET)
        yield


def new_network() -> int:
    """Return a descriptor of a new network namespace; the caller stays in its own."""
    with _coming_back():
        unshare(NEWNET)
        return current("net")


def publish(namespace: int, name: str) -> None:
    """Give a network namespace a name in this mount namespace, as ip-netns(8) does."""
    place = Path("/run", _FOLDERS[0], name)
    place.touch()
    _mount(f"/proc/self/fd/{namespace}", str(place), "", _MS_BIND)


def fork() -> int:
    """Fork a child that is process 1 of a new PID namespace; return as os.fork() does.

    It is killed with its parent, and all that it starts with it.
    """
    own, parent, pid = current("pid_for_children"), os.pidfd_open(os.getpid()), -1
    try:
        unshare(NEWPID)
        pid = os.fork()
    finally:
        if pid:
            enter(own, NEWPID)  # Else this process's next child could not have one of its own.
        os.close(own)
    if pid == 0:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if select.select([parent], [], [], 0)[0]:  # It had ended before that.
            os._exit(1)
    os.close(parent)
    return pid


def isolate() -> None:
    """Give this process, just forked, the rest that enter.sh gives a program: network, mounts."""
    unshare(NEWNS | NEWNET)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc")
    _mount("sysfs", "/sys", "sysfs")
    _mount("tmpfs", "/run", "tmpfs", options="mode=755")
    for name in _FOLDERS:
        Path("/run", name).mkdir()
    temporary = Path("/run/tmp")
    temporary.mkdir()
    temporary.chmod(0o1777)


def _mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode() or None)
    _succeed(_LIBC.mount(*words, flags, options.encode()), f"mount {target}")
