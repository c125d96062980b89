"""The kernel's netem, as a link's shape asks for it, by netlink."""

from __future__ import annotations

import struct

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, nlmsg
from pyroute2.netlink.rtnl import RTM_NEWQDISC
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from topologies.model import Shape

_QUEUE = 1000  # Packets, netem's own default.
_ALL = 0xFFFFFFFF  # 100 %; linux/pkt_sched.h, as all that follows.
_REORDER, _CORRUPT, _LOSS, _LATENCY64 = 3, 4, 5, 10
_GILBERT_ELLIOTT = 2
_NESTED = 0x8000


class _Qdisc(nlmsg):  # type: ignore[misc]
    """A queueing discipline with its options as they are; pyroute2's netem knows no bursts."""

    prefix = tcmsg.prefix
    fields = tcmsg.fields
    nla_map = (("TCA_UNSPEC", "none"), ("TCA_KIND", "asciiz"), ("TCA_OPTIONS", "cdata"))


def set_netem(netlink: IPRoute, index: int, handle: int, parent: int, shape: Shape) -> None:
    """Add netem to an interface, or change it; raises NetlinkError if the kernel refuses."""
    message = _Qdisc()
    message.update(index=index, handle=handle, parent=parent)
    message["attrs"] = [("TCA_KIND", "netem"), ("TCA_OPTIONS", options(shape))]
    message["header"]["type"] = RTM_NEWQDISC
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    netlink.nlm_request_batch([message])


def options(shape: Shape) -> bytes:
    """Return netem's options: struct tc_netem_qopt and what of the shape goes beyond it.

    What is left out would stay as it was.
    """
    bursts = shape.burst_begins > 0
    loss = 0 if bursts else _share(shape.loss)
    every = int(shape.reordering > 0)  # Each packet may overtake.
    found = struct.pack("6I", 0, _QUEUE, loss, every, _share(shape.duplication), 0)
    found += _attribute(_LATENCY64, struct.pack("q", round(shape.delay * 1e9)))
    found += _attribute(_REORDER, struct.pack("2I", _share(shape.reordering), 0))
    found += _attribute(_CORRUPT, struct.pack("2I", _share(shape.corruption), 0))
    if bursts:
        percent = shape.burst_begins, shape.burst_ends, 100 - shape.burst_loss, shape.loss
        model = struct.pack("4I", *map(_share, percent))  # p, r, h, 1-k
        found += _attribute(_LOSS | _NESTED, _attribute(_GILBERT_ELLIOTT, model))
    return found


def _share(percent: float) -> int:
    return round(percent / 100 * _ALL)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
