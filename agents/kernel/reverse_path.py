"""Packets out of tunnels must come from the addresses behind them (RFC 6275 section 10.4.5).

Of the kernel's ways to tie an inner source to its tunnel, the reverse path filter is the one whose
cost does not grow with the number of bindings: one rule for all tunnels, and the route to a home
address, which is there anyway, says which tunnel it may come from. Another's home address, a
neighbour's, this host's own and link-local ones have their way back elsewhere and are dropped.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess

from agents.kernel.port import KernelError

_PROGRAMS = ("ip6tables-legacy", "ip6tables")
"""Either speaks to a part of the kernel that the other does not need, and that may be missing."""


class ReversePathFilter:
    """The filter for interfaces whose names begin with `name`; it starts a program: use it early.

    KernelError tells that there is no such program, or what it complains of.
    """

    def __init__(self, name: str) -> None:
        match = ("-i", f"{name}+", "-m", "rpfilter", "--invert")
        self._rule = ("PREROUTING", *match, "-j", "DROP")

    def close(self) -> None:
        """Let only packets pass whose source is behind the tunnel that they come from."""
        complaints = []
        for program in _PROGRAMS:
            if self._run(program, "-C") is None:
                return
            complaint = self._run(program, "-A")
            if complaint is None:
                return
            complaints.append(complaint)
        raise KernelError(errno.EOPNOTSUPP, f"reverse path filter: {'; '.join(complaints)}")

    def release(self) -> None:
        """Undo close()."""
        for program in _PROGRAMS:
            self._run(program, "-D")

    def _run(self, program: str, command: str) -> str | None:
        """Carry out a command; return why that failed, or None."""
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if found is None:
            return f"{program} is not installed (Debian package iptables)"
        done = subprocess.run(
            [found, "-w", "-t", "raw", command, *self._rule],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return (
            done.stderr.strip() or f"{program}: status {done.returncode}"
            if done.returncode
            else None
        )
