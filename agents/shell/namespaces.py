"""Network namespaces by their names, for a program with sockets in several (ip-netns(8))."""

from __future__ import annotations

import ctypes
import os
import types
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_FOLDER = Path("/run/netns")
_NETWORK = 0x40000000  # linux/sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A named network namespace; a program with one thread has its sockets made there.

    What it reads below /proc/net and /proc/sys/net is the namespace's too. OSError without one.
    """

    _entered: Namespace | None = None

    def __init__(self, name: str) -> None:
        self._descriptor = os.open(_FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """Be there from now on, if this program is not."""
        if Namespace._entered is self:
            return
        if _LIBC.setns(self._descriptor, _NETWORK):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "setns")
        Namespace._entered = self

    @types.coroutine
    def run(self, work: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
        """Carry out here what waits now and then, while the program may be elsewhere."""
        try:
            while True:
                self.enter()
                try:
                    waited = work.send(None)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                yield waited
        finally:
            work.close()
