"""Captures of a bootstrap as the mobile node's link carries it, made with scapy."""

import json
import struct

from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6EchoReply,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrRouting,
    MIP6OptAltCoA,
)
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.isakmp import ISAKMP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter

START = 1_700_000_000.25
MN, ROUTER, NEIGHBOUR = "02:00:00:00:01:01", "02:00:00:00:01:02", "02:00:00:00:01:03"
LINK_A, LINK_B = "fe80::a", "fe80::b"
COA, HA, HOA, CN = "2001:db8:a::2", "2001:db8:100::1", "2001:db8:100::1234", "2001:db8:100::99"
ENCRYPTION_KEY, INTEGRITY_KEY = bytes(range(16)), bytes(range(32))
SPI_OUT, SPI_IN = 0x11112222, 0x33334444
S, C, R = 0x4000, 0x2000, 0x8000


def avp(code, value):
    return struct.pack("!HHHH", code, 0, len(value), 0) + value + bytes(-len(value) % 4)


def vendor_avp(code, value, vendor=32473):
    head = struct.pack("!HHHHI", code, 0x8000, len(value), 0, vendor)
    return head + value + bytes(-len(value) % 4)


def pana(kind, flags, sequence, *avps):
    body = b"".join(avps)
    session = 0 if kind == 1 else 0x5EED
    return struct.pack("!HHHHII", 0, 16 + len(body), flags, kind, session, sequence) + body


def relayed(message):
    return pana(5, 0, 0, avp(10, bytes(18)), avp(11, message))


def avp12(code, value):
    return struct.pack("!HHHH", code, 0x4000, 8 + len(value), 0) + value + bytes(-len(value) % 4)


def pana12(kind, flags, sequence, *avps):
    body = b"".join(avps)
    return struct.pack("!BBHHHI", 1, 0, 12 + len(body), flags, kind, sequence) + body


def eap(code, kind=None, body=b""):
    data = b"" if kind is None else bytes([kind]) + body
    return struct.pack("!BBH", code, 1, 4 + len(data)) + data


def from_mn(data, port=716):
    ends = (LINK_A, LINK_B) if port == 716 else (COA, HA)
    return IPv6(src=ends[0], dst=ends[1]) / UDP(sport=port, dport=port) / Raw(data)


def to_mn(data, port=716):
    ends = (LINK_B, LINK_A) if port == 716 else (HA, COA)
    return IPv6(src=ends[0], dst=ends[1]) / UDP(sport=port, dport=port) / Raw(data)


DHCPV6_REQUEST, DHCPV6_REPLY = (b"\x0b\0\0\1", 547), (b"\x07\0\0\1", 546)
DNS_QUERY, DNS_ANSWER = (b"\0\1\1\0" + bytes(8), 53), (b"\0\1\x81\x80" + bytes(8), 5353)


def lookup(message):
    """A message of DHCPv6 or DNS; `message` is its octets and the port that it goes to."""
    data, port = message
    mine, theirs = (546, 547) if port in (546, 547) else (5353, 53)
    if port == theirs:
        return IPv6(src=COA, dst=CN) / UDP(sport=mine, dport=port) / Raw(data)
    return IPv6(src=CN, dst=COA) / UDP(sport=theirs, dport=port) / Raw(data)


def ike(exchange, number, message_id=0, version=0x10, cookie=b"initiatr"):
    body = bytes([number]) * 48
    header = ISAKMP(
        init_cookie=cookie,
        resp_cookie=bytes(8) if number == 1 and exchange == 2 else b"respondr",
        version=version,
        exch_type=exchange,
        flags=1,
        id=message_id,
        length=28 + len(body),
    )
    return bytes(header) + body


def protected(spi, source, destination, message):
    """The ESP packet that transport mode makes of `message` between HoA and HA."""
    association = SecurityAssociation(
        ESP,
        spi=spi,
        crypt_algo="AES-CBC",
        crypt_key=ENCRYPTION_KEY,
        auth_algo="SHA2-256-128",
        auth_key=INTEGRITY_KEY,
    )
    return association.encrypt(IPv6(src=source, dst=destination) / message)[ESP]


def update(sequence=1, clear=False):
    message = MIP6MH_BU(seq=sequence, flags="AHLK", options=[MIP6OptAltCoA(acoa=COA)])
    if clear:  # The checksum is computed over the home address.
        inner = message.__class__(bytes(IPv6(src=HOA, dst=HA) / message)[40:])
    else:
        inner = protected(SPI_OUT, HOA, HA, message)
    return IPv6(src=COA, dst=HA) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOA)]) / inner


def ack(sequence=1, clear=False, status=0):
    message = MIP6MH_BA(seq=sequence, status=status, mhtime=105)
    inner = message if clear else protected(SPI_IN, HA, HOA, message)
    return IPv6(src=HA, dst=COA) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOA]) / inner


def tunnelled(destination=HOA):
    inner = IPv6(src=CN, dst=destination) / ICMPv6EchoReply(data=b"x" * 16)
    return IPv6(src=HA, dst=COA) / inner


def pana_exchange(start=0.0, end=0.020, result=0):
    """RFC 5191 with EAP-TLS, as (time, packet)."""
    messages = [
        from_mn(pana(1, 0, 0)),
        to_mn(pana(2, R | S, 100, avp(6, struct.pack("!I", 2)), avp(2, eap(1, 1)))),
        from_mn(pana(2, S, 100, avp(2, eap(2, 1, b"alice")))),
    ]
    for sequence in range(101, 106):
        messages.append(to_mn(pana(2, R, sequence, avp(2, eap(1, 13, bytes(400))))))
        messages.append(from_mn(pana(2, 0, sequence, avp(2, eap(2, 13, bytes(300))))))
    outcome = avp(7, struct.pack("!I", result))
    messages.append(to_mn(pana(2, R | C, 106, outcome, avp(2, eap(4 if result else 3)))))
    messages.append(from_mn(pana(2, C, 106, avp(1, bytes(20)))))
    return spread(messages, start, end)


def pana12_exchange(start=0.0, end=0.020):
    """draft-ietf-pana-pana-12: PSR/PSA, PAR/PAN, PBR/PBA."""
    messages = [
        from_mn(pana12(1, 0, 0)),
        to_mn(pana12(2, R, 100, avp12(5, eap(1, 1)))),
        from_mn(pana12(2, 0, 100, avp12(5, eap(2, 1, b"alice")))),
        to_mn(pana12(3, R, 101, avp12(17, b"session"), avp12(5, eap(1, 13, bytes(64))))),
        from_mn(pana12(3, 0, 101, avp12(17, b"session"), avp12(5, eap(2, 13, bytes(64))))),
        to_mn(pana12(5, R, 102, avp12(17, b"s"), avp12(16, struct.pack("!I", 2001)))),
        from_mn(pana12(5, 0, 102, avp12(17, b"s"))),
    ]
    return spread(messages, start, end)


def ikev1_exchange(start, end, first=2, count=6, cookie=b"initiatr"):
    """Main (or aggressive) mode and quick mode."""
    data = [ike(first, n, cookie=cookie) for n in range(1, count + 1)]
    data += [ike(32, n, message_id=0xABCD, cookie=cookie) for n in range(1, 4)]
    sides = [from_mn if n % 2 == 0 else to_mn for n in range(count)] + [from_mn, to_mn, from_mn]
    return spread([side(d, 500) for side, d in zip(sides, data, strict=True)], start, end)


def spread(messages, start, end):
    step = (end - start) / (len(messages) - 1)
    return [(start + i * step, message) for i, message in enumerate(messages)]


def bootstrap(marks=(0.020, 0.022, 0.050, 0.051, 0.055), packet=0.060):
    """A whole bootstrap: `marks` are the ends of the five phases in seconds."""
    pana_end, ike_start, ike_end, binding_start, binding_end = marks
    noise = IPv6(src=LINK_A, dst="ff02::1:ff00:b") / ICMPv6ND_NS(tgt=LINK_B)
    found = [(-0.5, noise), *pana_exchange(0.0, pana_end), *ikev1_exchange(ike_start, ike_end)]
    found += [(binding_start, update()), (binding_end, ack())]
    return found if packet is None else [*found, (packet, tunnelled())]


def eapol(kind, body=b"", *, down=False):
    """Return a frame of IEEE 802.1X, from the mobile node or `down` to it."""
    ends = {"src": ROUTER, "dst": MN} if down else {"src": MN, "dst": "01:80:c2:00:00:03"}
    return Ether(type=0x888E, **ends) / (bytes((2, kind)) + len(body).to_bytes(2) + body)


def dot1x_exchange(start, end):
    """Access by IEEE 802.1X between two times."""
    step = (end - start) / 5
    flights = [
        eapol(1),
        eapol(0, b"\x01\x07\x00\x05\x01", down=True),
        eapol(0, b"\x02\x07\x00\x06\x01m"),
        eapol(0, b"\x01\x08\x00\x06\x0d\x20", down=True),
        eapol(0, b"\x02\x08\x00\x06\x0d\x00"),
        eapol(0, b"\x03\x08\x00\x04", down=True),
    ]
    return [(start + i * step, flight) for i, flight in enumerate(flights)]


def write(path, packets):
    """Write (time, packet) as pcapng with microseconds; an IPv6 packet is the mobile node's."""
    writer = PcapNgWriter(str(path))
    for time, packet in sorted(packets, key=lambda item: item[0]):
        frame = packet if Ether in packet else Ether(src=MN, dst=ROUTER) / packet
        frame.time = START + time
        writer.write(frame)
    writer.close()
    return path


def write_events(path, marks=(0.020, 0.022, 0.050, 0.051, 0.055), zero=123_456_789_000):
    """Agents' events with the same marks; those of other hosts in between."""
    names = [
        ("pana", "Started"),
        ("pana", "Authenticated"),
        ("ikev1", "Phase1Started"),
        ("ikev1", "ChildEstablished"),
        ("mip6", "BindingUpdateSent"),
        ("mip6", "BindingAccepted"),
    ]
    lines = [{"t": 5, "host": "C", "agent": "pana", "event": "Started"}]
    for time, (agent, event) in zip((0.0, *marks), names, strict=True):
        ns = zero + round(time * 1e9)
        lines.append({"t": ns, "host": "A", "agent": agent, "event": event, "peer": "x"})
        lines.append({"t": ns - 10, "host": "C", "agent": agent, "event": event})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
