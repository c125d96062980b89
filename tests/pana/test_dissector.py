"""The shipped Wireshark dissector on everything that the machines send."""

from ipaddress import IPv6Address
from xml.etree import ElementTree

import pytest

from agents.bootstrap.assignment import Assignment
from agents.pana.draft12 import DRAFT12, Draft12
from agents.pana.draft12_wire import CODES, TYPES, decode_avps
from agents.pana.mobility import MobilityCapability
from agents.pana.rfc5191 import RFC5191
from agents.pana.rfc5191_wire import CODES as RFC5191_CODES
from agents.pana.terms import Device, HostTerms, NetworkTerms, PacketProtection, Ppac, Provider
from agents.pana.wire import Avp, AvpName, Kind, Message, UnknownAvp
from testbed.trace.keys import DISSECTOR, wireshark_profile
from tests.pana.fakes import ASSIGNMENT, PAA, PAC, FakeAaa, FakePeer, World
from tests.pana.test_wireshark import capture
from tests.wireshark import tshark

LAB = {name: code.code for name, code in RFC5191_CODES.items() if code.vendor}
NAMED = Assignment(ASSIGNMENT.home_agent, 64, ASSIGNMENT.home_address, "ha.example.org")


class SealingAaa(FakeAaa):
    """An AAA that gives all it can."""

    def __init__(self):
        super().__init__(assignment=NAMED)

    def handle(self, paa, response):
        accept = paa.accept
        paa.accept = lambda *args: accept(*args, sealed=b"\xc0\xff\xee")
        super().handle(paa, response)
        paa.accept = accept


def live(world):
    """Bootstrap; ping both ways, move, renew, log out; return what went over the link."""
    world.bootstrap(1)
    session, pac = world.session_id, world.pac
    for step in (
        pac.ping,
        lambda now: world.paa.ping(session, now),
        pac.update,
        pac.reauthenticate,
        pac.terminate,
    ):
        assert step(world.link.now)
        world.link.run(world.link.now + 2)
    return [(source, data) for _, source, data in world.link.sent]


def draft12_world(**paa):
    """A world in which every AVP of the draft has its use."""
    terms = NetworkTerms(
        ppac=Ppac.DHCPV6,
        protection=PacketProtection.IPSEC,
        enforcement_points=(
            Device.of(IPv6Address("2001:db8:1::e")),
            Device(1, bytes([192, 0, 2, 1])),
            Device(6, bytes(range(6))),
        ),
        nap=Provider("Access network", 32473),
        isps=(Provider("One"), Provider("Two")),
        announce=True,
    )
    host = HostTerms(
        protections=frozenset({PacketProtection.IPSEC}),
        device=Device.of(IPv6Address("2001:db8:1::a")),
        isp=Provider("Two"),
    )
    return World(
        dialect=DRAFT12,
        aaa=SealingAaa(),
        pac={"terms": host, "renew_eap": FakePeer, "mobility": MobilityCapability(17)},
        paa={"dialect": Draft12("b.example.org", 7), "terms": terms, **paa},
    )


def error_exchange():
    """PER with Failed-AVP and PEA, and a text in a message."""
    world = World(dialect=DRAFT12).bootstrap(1)
    transactions = world.session().transactions
    bad = Message(
        Kind.PING,
        True,
        transactions.session,
        transactions.next_out,
        (Avp(AvpName.NOTIFICATION, b"\0\2enHello"), Avp(UnknownAvp(99, 0x4000), b"x")),
    )
    data = DRAFT12.protect(bad, transactions.sa)
    world.pac.handle_message(data, PAA, 1.0)
    world.link.run(3)
    return [(PAA, data), *((source, sent) for _, source, sent in world.link.sent[11:])]


def dissected(tmp_path, sent):
    """Return tshark's packets in PDML, with the dissector in the run's profile."""
    capture(tmp_path / "exchange.pcap", sent)
    keys = tmp_path / "keys"
    keys.mkdir()
    profile = wireshark_profile(keys)
    seen = tshark(tmp_path / "exchange.pcap", "-T", "pdml", profile=profile)
    return list(ElementTree.fromstring(seen).iter("packet"))


def fields(packet, name):
    return [field.get("show") for field in packet.iter("field") if field.get("name") == name]


def protocols(packet):
    return [proto.get("name") for proto in packet.iter("proto")]


def complaints(packet):
    """Expert items and the like; Wireshark adds a hidden field of its own where Lua is used."""
    names = {field.get("name", "") for field in packet.iter("field")} - {"_ws.lua.fake"}
    return [name for name in names if name.startswith(("_ws.", "pana12.malformed"))]


def flat(avps):
    """The AVPs and those inside grouped ones, as the dissector lists them."""
    for avp in avps:
        yield avp
        if avp.name in (AvpName.FAILED_AVP, AvpName.ISP_INFORMATION, AvpName.NAP_INFORMATION):
            yield from flat(decode_avps(avp.value))


def test_every_message_and_avp_of_the_draft_is_named(tmp_path):
    sent = live(draft12_world()) + live(draft12_world(stateless=True)) + error_exchange()
    packets = dissected(tmp_path, sent)
    assert len(packets) == len(sent)
    messages, names = set(), set()
    for (_, data), packet in zip(sent, packets, strict=True):
        message = DRAFT12.decode(data)
        assert "pana12" in protocols(packet)
        assert "_ws.malformed" not in protocols(packet)
        label = DRAFT12.label(message)
        assert fields(packet, "pana12.name") == [label]
        assert fields(packet, "pana12.type") == [str(TYPES[message.kind])]
        assert [int(n, 0) for n in fields(packet, "pana12.seq")] == [message.sequence]
        assert fields(packet, "pana12.length") == [str(len(data))]
        session = [] if not message.session else [message.session.decode()]
        assert fields(packet, "pana12.session") == session
        shown = fields(packet, "pana12.avp.name")
        expected = [
            avp.name.value if isinstance(avp.name, AvpName) else "Unknown AVP"
            for avp in flat(message.avps)
        ]
        assert shown == ["Session-Id"] * len(session) + expected
        if "Unknown AVP" not in shown:
            assert complaints(packet) == []
        messages.add(label)
        names.update(shown)
    assert messages == {grammar.label for grammar in DRAFT12.grammar.values()}
    assert names - {"Unknown AVP"} == {name.value for name in CODES}


def test_values_of_the_draft_are_shown(tmp_path):
    sent = live(draft12_world())
    packets = dissected(tmp_path, sent)
    bind = next(p for p in packets if fields(p, "pana12.name") == ["PBR"])
    assert fields(bind, "pana12.result") == ["2001"]
    assert fields(bind, "pana12.lifetime") == ["600"]
    assert fields(bind, "pana12.prf") == ["2"]
    assert fields(bind, "pana12.integrity") == ["7"]
    assert fields(bind, "pana12.device.ipv6") == ["2001:db8:1::e"]
    assert fields(bind, "pana12.device.ipv4") == ["192.0.2.1"]
    assert fields(bind, "pana12.device.mac") == ["00:01:02:03:04:05"]
    assert fields(bind, "pana12.ppac.s") == ["1"]
    assert fields(bind, "pana12.ppac.n") == ["0"]
    assert "eap" in protocols(bind)
    start = next(p for p in packets if fields(p, "pana12.name") == ["PSR"])
    assert fields(start, "pana12.provider_name") == ["Access network", "One", "Two"]
    assert fields(start, "pana12.provider") == ["32473"]
    termination = next(p for p in packets if fields(p, "pana12.name") == ["PTR"])
    assert fields(termination, "pana12.cause") == ["1"]


def lab_values(packet):
    return {
        name: fields(packet, f"mip6lab.{name}")
        for name in ("home_agent", "prefix_length", "home_address", "home_agent_fqdn", "sealed")
    }


VALUES = {
    "home_agent": [str(NAMED.home_agent)],
    "prefix_length": ["64"],
    "home_address": [str(NAMED.home_address)],
    "home_agent_fqdn": ["ha.example.org"],
    "sealed": ["c0:ff:ee"],
}


@pytest.mark.parametrize("dialect", [RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def test_the_laboratorys_avps_are_shown_in_both_dialects(tmp_path, dialect):
    world = World(dialect=dialect, aaa=SealingAaa(), pac={"mobility": MobilityCapability(17)})
    world.bootstrap(1)
    sent = [(source, data) for _, source, data in world.link.sent]
    packets = dissected(tmp_path, sent)
    assert lab_values(packets[9]) == VALUES
    assert [fields(packets[n], "mip6lab.capability.mipv6") for n in (1, 2)] == [["1"], ["1"]]
    assert fields(packets[2], "mip6lab.capability.home") == ["1"]
    for packet, message in zip(packets, world.messages(), strict=True):
        codes = [LAB[avp.name] for avp in message.avps if avp.name in LAB]
        if dialect is RFC5191:
            assert [int(code) for code in fields(packet, "mip6lab.avp")] == codes
        assert complaints(packet) == []


def test_messages_of_rfc5191_stay_with_wiresharks_dissector(tmp_path):
    sent = live(World(pac={"renew_eap": FakePeer}))
    relayed = [(PAC, RFC5191.relay(PAC, sent[1][1]))]
    packets = dissected(tmp_path, sent + relayed)
    for packet in packets:
        assert "pana" in protocols(packet)
        assert "pana12" not in protocols(packet)
        assert complaints(packet) == []
    # Without any of the AVPs the dissector adds nothing; inside a relay's message it finds them.
    assert "mip6lab" not in protocols(packets[0])
    assert len(fields(packets[-1], "mip6lab.capability")) == 1


def test_broken_messages_are_marked_and_do_not_break_the_dissector(tmp_path):
    data = live(draft12_world())[9][1]
    cut = [data[:2] + n.to_bytes(2) + data[4:n] for n in range(12, len(data), 5)]
    wrong = [data[:n] for n in range(13, len(data), 7)]
    other = [b"\x01" + bytes(n) for n in range(12)] + [b"\x02" + data[1:]]
    packets = dissected(tmp_path, [(PAA, each) for each in cut + wrong + other])
    assert len(packets) == len(cut + wrong + other)
    marked = [bool(complaints(packet)) for packet in packets]
    assert all(marked[len(cut) : len(cut) + len(wrong)])
    for packet in packets:
        text = ElementTree.tostring(packet)
        assert b"Lua Error" not in text


def test_filters_of_both_protocols_work(tmp_path):
    sent = live(draft12_world())
    capture(tmp_path / "x.pcap", sent)
    arguments = ("-X", f"lua_script:{DISSECTOR}", "-Y", "pana12.type == 5 && mip6lab.home_agent")
    lines = tshark(tmp_path / "x.pcap", *arguments).splitlines()
    assert len(lines) == 2
    assert all("PBR: Success" in line for line in lines)


def test_the_dissector_knows_no_other_codes():
    assert {code.code for name, code in CODES.items() if name in LAB} == set(LAB.values())
    text = DISSECTOR.read_text()
    for name, code in {**{n: c.code for n, c in CODES.items()}, **LAB}.items():
        assert f'[{code}] = {{"{name.value}"' in text
