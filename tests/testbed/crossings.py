"""Captures of A and B in which the number of exchanges over each link is known by construction."""

import struct
from ipaddress import IPv6Address

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter

from tests.testbed import synthesis as syn
from topologies.model import mac_address
from topologies.paper import TOPOLOGY

B_CORE, C_CORE = "2001:db8:b::1", "2001:db8:b::2"
WORK = 0.001  # Seconds that each host takes to answer.
EAP = 268


def mac(link, end):
    return mac_address(TOPOLOGY, TOPOLOGY.link(link), end)


def avp(code, value):
    return (
        struct.pack("!IB", code, 0x40)
        + (8 + len(value)).to_bytes(3)
        + value
        + bytes(-len(value) % 4)
    )


def diameter(code, *avps, request=True):
    body = b"".join(avps)
    head = b"\x01" + (20 + len(body)).to_bytes(3) + bytes([0x80 if request else 0])
    return head + code.to_bytes(3) + struct.pack("!III", 5, 1, 2) + body


def attribute(kind, value):
    return bytes((kind, 2 + len(value))) + value


def radius(code, identifier, *attributes):
    body = b"".join(attributes)
    head = struct.pack("!BBH", code, identifier, 20 + len(body))
    return head + bytes([code, identifier]) * 8 + body


def vendor_home_agent(address=syn.HA):
    inner = attribute(11, bytes((0, 64)) + IPv6Address(address).packed)
    return attribute(26, struct.pack("!I", 32473) + inner)


def home_agent(address=syn.HA):
    return avp(486, avp(334, b"\x00\x02" + IPv6Address(address).packed))


class Wire:
    """Sends exchanges one after the other and writes what A and B capture."""

    def __init__(self, access=0.0, core=0.0):
        self.delay = {"access": access, "core": core}
        self.now = 0.0
        self.frames = {"A": [], "B": []}
        self.sequence = {True: 1000, False: 5000}

    def cross(self, link, packet, outward=True):
        """Carry a packet over a link; captures have the time at which it enters their link."""
        frame = Ether(src=mac(link, 0 if outward else 1), dst=mac(link, 1 if outward else 0))
        arrival = self.now + self.delay[link]
        if link == "access":
            self.frames["A"].append((self.now if outward else arrival, frame / packet))
            self.frames["B"].append((arrival if outward else self.now, frame / packet))
        else:
            self.frames["B"].append((self.now if outward else arrival, frame / packet))
        self.now = arrival

    def work(self):
        self.now += WORK

    def segment(self, data, outward=True, again=False):
        """Carry a Diameter segment over the core link."""
        number = self.sequence[outward] - (len(data) if again else 0)
        ends = (B_CORE, C_CORE) if outward else (C_CORE, B_CORE)
        ports = (40000, 3868) if outward else (3868, 40000)
        head = TCP(sport=ports[0], dport=ports[1], seq=number, flags="PA")
        if not again:
            self.sequence[outward] += len(data)
        self.cross("core", IPv6(src=ends[0], dst=ends[1]) / head / Raw(data), outward)

    def acknowledge(self):
        head = TCP(sport=40000, dport=3868, seq=self.sequence[True], flags="A")
        self.frames["B"].append(
            (self.now, Ether(src=mac("core", 0), dst=mac("core", 1))
             / IPv6(src=B_CORE, dst=C_CORE) / head)
        )  # fmt: skip

    def datagram(self, data, outward=True, port=1812):
        """Carry a RADIUS packet over the core link."""
        ends = (B_CORE, C_CORE) if outward else (C_CORE, B_CORE)
        ports = (40000, port) if outward else (port, 40000)
        head = UDP(sport=ports[0], dport=ports[1])
        self.cross("core", IPv6(src=ends[0], dst=ends[1]) / head / Raw(data), outward)

    def by_radius(self, asked, answered, packets, again):
        """Carry a PANA message and its answer, on the way an exchange by RADIUS.

        The request is sent once more if it is to be there `again`.
        """
        self.cross("access", syn.from_mn(asked))
        self.work()
        self.datagram(packets[0])
        if again:
            self.datagram(packets[0])
        self.work()
        self.datagram(packets[1], outward=False)
        self.work()
        self.cross("access", syn.to_mn(answered), outward=False)
        self.work()

    def pana(self, asked, answered, home_aaa=None):
        """Carry a PANA message and its answer, on the way an exchange with the AAAH."""
        self.cross("access", syn.from_mn(asked))
        self.work()
        if home_aaa:
            self.segment(home_aaa[0])
            self.work()
            self.segment(home_aaa[1], outward=False)
            self.acknowledge()
            self.work()
        self.cross("access", syn.to_mn(answered), outward=False)
        self.work()

    def end_to_end(self, asked, answered):
        """Carry a packet to the home network and, if there is one, its answer back."""
        start = self.now
        for link in ("access", "core"):
            self.cross(link, asked)
        if answered is None:
            self.now = start  # The mobile node does not wait for anything.
            return
        self.work()
        for link in ("core", "access"):
            self.cross(link, answered, outward=False)
        self.work()

    def resolve(self, link="access"):
        """Let the far end of a link ask for the near end's address, and wait for it."""
        near, far = syn.COA, "2001:db8:a::1"
        ask = IPv6(src=far, dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt=near)
        tell = IPv6(src=near, dst=far) / ICMPv6ND_NA(tgt=near, S=1)
        self.cross(link, ask, outward=False)
        self.cross(link, tell / ICMPv6NDOptDstLLAddr(lladdr=mac(link, 0)))

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for host, frames in self.frames.items():
            writer = PcapNgWriter(str(folder / f"{host}.pcapng"))
            for time, frame in sorted(frames, key=lambda item: item[0]):
                frame.time = syn.START + time
                writer.write(frame)
            writer.close()
        return folder


def bootstrap(wire, rounds=3, answer=None):
    """PANA with `rounds` exchanges with the AAAH, main mode, quick mode, BU and BA.

    Round trips: rounds + 2 of PANA, 4 of IKE and 1 of Mobile IPv6 over the access link; rounds, 4
    and 1 over the core link.
    """
    wire.pana(syn.pana(1, 0, 0), syn.pana(2, syn.R | syn.S, 100))
    asked = syn.pana(2, syn.S, 100)
    for number in range(rounds):
        last = number == rounds - 1
        ok = syn.avp(7, bytes(4))
        request = (syn.R | syn.C, ok) if last else (syn.R, b"")
        told = diameter(EAP, home_agent(), request=False) if last else diameter(EAP, request=False)
        wire.pana(
            asked,
            syn.pana(2, request[0], 101 + number, request[1]),
            (diameter(EAP), answer or told),
        )
        asked = syn.pana(2, syn.C if last else 0, 101 + number)
    _register(wire, asked)


def by_radius(wire, again=False):
    """As `bootstrap` with two rounds, which the access router carries on by RADIUS."""
    wire.pana(syn.pana(1, 0, 0), syn.pana(2, syn.R | syn.S, 100))
    eap = attribute(79, bytes((2, 1, 0, 6, 13, 0)))
    challenge, success = attribute(79, bytes((1, 2, 0, 6, 13, 0))), attribute(79, b"\3\2\0\4")
    rounds = (radius(1, 1, eap), radius(11, 1, challenge))
    wire.by_radius(syn.pana(2, syn.S, 100), syn.pana(2, syn.R, 101), rounds, again)
    rounds = (radius(1, 2, eap), radius(2, 2, vendor_home_agent(), success))
    ok = syn.pana(2, syn.R | syn.C, 102, syn.avp(7, bytes(4)))
    wire.by_radius(syn.pana(2, 0, 101), ok, rounds, again)
    now = wire.now
    wire.datagram(radius(4, 1, attribute(40, bytes((0, 0, 0, 1)))), port=1813)
    wire.datagram(radius(5, 1), outward=False, port=1813)
    wire.now = now  # Nobody waits for that.
    _register(wire, syn.pana(2, syn.C, 102))


def _register(wire, asked):
    """Answer PANA's result; main mode, quick mode, BU and BA."""
    start = wire.now
    wire.cross("access", syn.from_mn(asked))
    wire.now = start
    for number in (1, 3, 5):
        wire.end_to_end(
            syn.from_mn(syn.ike(2, number), 500), syn.to_mn(syn.ike(2, number + 1), 500)
        )
    quick = [syn.ike(32, n, 0xABCD) for n in (1, 2, 3)]
    wire.end_to_end(syn.from_mn(quick[0], 500), syn.to_mn(quick[1], 500))
    wire.end_to_end(syn.from_mn(quick[2], 500), None)
    wire.end_to_end(syn.update(), syn.ack())


def early_bootstrap(wire, late=0.0):
    """IKE beside PANA's last round: the home AAA server takes `late` seconds longer for that.

    Round trips over the access link: 3 of PANA until IKE begins, 2 of IKE, 1 of Mobile IPv6; over
    the core link one less, for PCI does not cross it. PANA as a whole has 4 and 3.
    """
    wire.pana(syn.pana(1, 0, 0), syn.pana(2, syn.R | syn.S, 100))
    eap = (diameter(EAP), diameter(EAP, request=False))
    wire.pana(syn.pana(2, syn.S, 100), syn.pana(2, syn.R, 101), eap)
    told = syn.pana(2, syn.R, 102, syn.vendor_avp(105, b"sealed"))
    wire.pana(syn.pana(2, 0, 101), told, eap)
    begun = wire.now
    wire.cross("access", syn.from_mn(syn.pana(2, 0, 102)))
    wire.segment(eap[0])
    wire.now += late
    wire.segment(eap[1], outward=False)
    ok = syn.pana(2, syn.R | syn.C, 103, syn.avp(7, bytes(4)), syn.vendor_avp(105, b"sealed"))
    wire.cross("access", syn.to_mn(ok), outward=False)
    ended = wire.now
    wire.cross("access", syn.from_mn(syn.pana(2, syn.C, 103)))
    wire.now = begun + WORK
    for number, exchange in ((0, 34), (1, 35)):
        wire.end_to_end(
            syn.from_mn(syn.ike(exchange, 1, number, 0x20), 500),
            syn.to_mn(syn.ike(exchange, 2, number, 0x20), 500),
        )
    wire.now = max(wire.now, ended + WORK)
    wire.end_to_end(syn.update(), syn.ack())
