"""What programs and kernels hold: memory, descriptors, threads, and what is set up in a host.

All that comes with a bootstrap and is to go with it: what grows with their number is a leak.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from testbed.results.runs import KERNEL_MEMORY, MEMORY
from testbed.run.net import Network
from testbed.run.usage import KIB

Amounts: TypeAlias = dict[str, dict[str, float]]
"""By kind, and by program or host; memory in octets, all else by number."""

_RESIDENT, _THREADS = "VmRSS:", "Threads:"
_UNRECLAIMABLE = "SUnreclaim:"
_INET6, _PROXY = socket.AF_INET6, 8  # NTF_PROXY of linux/neighbour.h
_ROUTE, _XFRM = 0, 6  # linux/netlink.h
_DUMPS: Mapping[str, tuple[int, int, bytes]] = {
    "security associations": (_XFRM, 18, bytes(24)),
    "policies": (_XFRM, 21, bytes(64)),
    "interfaces": (_ROUTE, 18, bytes(16)),
    "addresses": (_ROUTE, 22, struct.pack("B7x", _INET6)),
    "neighbours": (_ROUTE, 30, struct.pack("B11x", _INET6)),
    "proxies": (_ROUTE, 30, struct.pack("B9xBx", _INET6, _PROXY)),
    "routes": (_ROUTE, 26, struct.pack("B11x", _INET6)),
    "rules": (_ROUTE, 34, struct.pack("B11x", _INET6)),
}
"""What lists a kind of thing in a host: netlink's family, the request and its fixed part.

Of linux/xfrm.h and linux/rtnetlink.h. To start ip(8) for each would take seconds.
"""

_HEADER = struct.Struct("=IHHII")
_REQUEST, _DUMP, _DONE, _ERROR = 0x1, 0x300, 3, 2
_ROOM = 1 << 16

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
    found: Amounts = {kind: {} for kind in (*_DUMPS, "sockets")}
    for host in (one.name for one in net.topology.hosts):
        with net.inside(host):
            for kind, request in _DUMPS.items():
                found[kind][host] = _listed(*request)
            tables = (Path("/proc/thread-self/net", name) for name in _SOCKETS)
            lines = (len(one.read_bytes().splitlines()) - 1 for one in tables if one.exists())
            found["sockets"][host] = sum(lines)
    return found


def _listed(family: int, kind: int, fixed: bytes) -> int:
    """Return how many things the kernel lists in this network namespace (netlink(7))."""
    number = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as asking:
        asking.send(_HEADER.pack(_HEADER.size + len(fixed), kind, _REQUEST | _DUMP, 1, 0) + fixed)
        while True:
            data = asking.recv(_ROOM)
            while data:
                length, told, *_ = _HEADER.unpack_from(data)
                if told == _ERROR:
                    code = -int.from_bytes(data[16:20], sys.byteorder, signed=True)
                    raise OSError(code, os.strerror(code), f"netlink, request {kind}")
                if told == _DONE:
                    return number
                number += 1
                data = data[(length + 3) & ~3 :]


def of_kernel() -> Amounts:
    """Return what the kernel has that it cannot take back; in a lab with its own that is all."""
    return {KERNEL_MEMORY: {"slab": _field(Path("/proc/meminfo"), _UNRECLAIMABLE) * KIB}}


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
