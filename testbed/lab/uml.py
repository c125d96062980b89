"""The uml lab: user-mode Linux on the host's file system, as whatever user the caller is."""

import os
import subprocess
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from testbed.lab import host, uml_host
from testbed.lab.guest import Boot, GuestLab

MODULES = Path("/usr/lib/uml/modules")
SPARED = ("initcall_blacklist=raid6_select_algo,init_zswap,init_jfs_fs", "pty.legacy_count=0")
"""Two thirds of a start: RAID's benchmark, compressed swap, a file system, terminals of old."""


class UmlLab(GuestLab):
    """Hosts on a kernel that runs as an ordinary process. Needs no rights."""

    name = "uml"
    what = "user-mode Linux"
    console = "/dev/tty0"

    def __init__(self, memory: int | None = None, at_once: int = 1) -> None:
        """`memory` in octets; by default 2 GiB, or less where `at_once` of these would not fit."""
        self._wanted, self._at_once = memory, at_once

    def modules(self) -> Path:
        """Return where the package has its modules."""
        return MODULES

    @cached_property
    def _memory(self) -> tuple[int, Path]:
        """Decided before the first of several boots: each would find less."""
        return uml_host.memory(self._wanted, self._at_once)

    def boot(self, boot: Boot, held: ExitStack) -> subprocess.Popen[bytes]:
        """Start user-mode Linux on a CPU of its own."""
        memory, memory_folder = self._memory
        cpu = held.enter_context(uml_host.one_cpu())
        console: tuple[str, ...] = ("con0=null,fd:1",)
        stdin, passed = subprocess.DEVNULL, list[int]()
        if boot.terminal is not None:
            stdin, passed = boot.terminal[0], [os.dup(boot.terminal[1])]
            held.callback(os.close, passed[0])
            console = ("console=ttyS0", "ssl0=null,fd:1", f"con0=fd:0,fd:{passed[0]}")
        kernel = (
            uml_host.program(),
            f"mem={memory >> 20}M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "rw",
            f"init={boot.init}",
            f"job={boot.folder}",
            f"uml_dir={boot.folder}",
            *SPARED,
            "con=null",
            *console,
        )
        return host.spawn(
            ("taskset", "-c", str(cpu), *kernel),
            boot.folder,
            held,
            messages=boot.messages,
            stdin=stdin,
            passed=passed,
            environment={"TMPDIR": str(memory_folder), **uml_host.preloaded(boot.folder)},
        )
