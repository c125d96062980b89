"""What programs and kernels hold: memory, descriptors, threads, and what is set up in a host.

All that comes with a bootstrap and is to go with it: what grows with their number is a leak.
"""

from __future__ import annotations

import gc
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from testbed.run.net import Network
from testbed.run.usage import KIB

Amounts: TypeAlias = dict[str, dict[str, float]]
"""By kind, and by program or host; memory in octets, all else by number."""

MEMORY, KERNEL = "memory", "kernel memory"
"""The kinds that are in octets."""

_RESIDENT, _THREADS = "VmRSS:", "Threads:"
_UNRECLAIMABLE = "SUnreclaim:"
_LISTED: Mapping[str, str] = {
    "security associations": "xfrm state list",
    "policies": "xfrm policy list",
    "interfaces": "link show",
    "addresses": "-6 address show",
    "neighbours": "-6 neigh show nud all",
    "proxies": "-6 neigh show proxy",
    "routes": "-6 route show table all",
    "rules": "-6 rule show",
}
"""What lists a kind of thing in a host by ip(8), a line each."""

_COUNT = "set -e; " + "; ".join(f"ip -o {listed} | wc -l" for listed in _LISTED.values())

_SOCKETS = ("tcp6", "udp6", "raw6", "packet", "netlink", "unix")
"""Files of /proc/net with a line for each socket below the first."""

_PACKAGE = "agents."
_NOT_HELD = ("agents.simulation", "agents.bench", "agents.approaches")


def _field(path: Path, name: str) -> int:
    """Return a number of a file of proc(5), 0 without it."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def of_programs(programs: Mapping[str, int]) -> Amounts:
    """Return what processes hold, by their names; each is there."""
    found: Amounts = {MEMORY: {}, "descriptors": {}, "threads": {}}
    for name, pid in programs.items():
        folder = Path("/proc", str(pid))
        found[MEMORY][name] = _field(folder / "status", _RESIDENT) * KIB
        found["threads"][name] = _field(folder / "status", _THREADS)
        found["descriptors"][name] = len(list((folder / "fd").iterdir()))
    return found


def of_hosts(net: Network) -> Amounts:
    """Return what is set up in the hosts' kernels, by their names."""
    found: Amounts = {kind: {} for kind in (*_LISTED, "sockets")}
    for host in (one.name for one in net.topology.hosts):
        with net.inside(host):
            # A shell forks faster than this process, which has much memory.
            told = subprocess.run(("sh", "-c", _COUNT), capture_output=True, check=True).stdout
            for kind, number in zip(_LISTED, told.split(), strict=True):
                found[kind][host] = int(number)
            tables = (Path("/proc/thread-self/net", name) for name in _SOCKETS)
            lines = (len(one.read_bytes().splitlines()) - 1 for one in tables if one.exists())
            found["sockets"][host] = sum(lines)
    return found


def of_kernel() -> Amounts:
    """Return what the kernel has that it cannot take back; in a lab with its own that is all."""
    return {KERNEL: {"slab": _field(Path("/proc/meminfo"), _UNRECLAIMABLE) * KIB}}


def of_objects() -> Amounts:
    """Return the objects of this process's programs that the garbage collector knows, by package.

    Those are protocols, nodes and models of kernels, not what simulates them.
    """
    gc.collect()
    modules = Counter(type(one).__module__ for one in gc.get_objects())
    found = Counter[str]()
    for module, number in modules.items():
        if module.startswith(_PACKAGE) and not module.startswith(_NOT_HELD):
            found[module.split(".")[1]] += number
    return {"objects": dict(sorted(found.items()))}
