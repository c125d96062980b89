"""tshark as an independent decoder of what the machines send."""

from xml.etree import ElementTree

import pytest

from agents.pana.keys import Algorithms
from agents.pana.mobility import MobilityCapability
from agents.pana.pac_table import PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.rfc5191_wire import CODES
from tests.pana.fakes import PAA, PAC, FakeAaa, FakePeer, World
from tests.wireshark import tshark, write_datagrams

SHA1 = Algorithms((2,), (7,))
WORLDS = {
    "sha2": {"pac": {"renew_eap": FakePeer}},
    "sha1": {"pac": {"renew_eap": FakePeer, "algorithms": SHA1}},
    "requests of its own": {"pac": {"renew_eap": FakePeer, "piggyback": False}},
    "optimized": {"pac": {"renew_eap": FakePeer}, "paa": {"optimized": True}},
    "no mobility": {"pac": {"renew_eap": FakePeer, "mobility": MobilityCapability(0)}},
    "stateless": {"pac": {"renew_eap": FakePeer}, "paa": {"stateless": True}},
    "encrypted": {
        "pac": {"renew_eap": FakePeer, "encryption": True},
        "paa": {"encryption": True},
    },
    "rejected": {"aaa": FakeAaa(code=1)},
    "not authorised": {"aaa": FakeAaa(refused=2)},
}


def live(settings):
    """Bootstrap; then, if that worked, ping both ways, re-authenticate, log out."""
    world = World(**settings).bootstrap(1)
    pac, paa = world.pac, world.paa
    if pac.state is PacState.OPEN:
        session = world.session_id
        for step in (
            pac.ping,
            lambda now: paa.ping(session, now),
            pac.reauthenticate,
            pac.terminate,
        ):
            assert step(world.link.now)
            world.link.run(world.link.now + 2)
    return [(source, data) for _, source, data in world.link.sent]


def capture(path, sent):
    """Write a capture of (sender, datagram)."""
    port = 716
    write_datagrams(
        path,
        [
            ((source[0], port), ((PAA if source == PAC else PAC)[0], port), data)
            for source, data in sent
        ],
    )


def dissect(path, sent):
    """Return each message as tshark's PDML has it: (names of protocols, fields of PANA)."""
    capture(path, sent)
    for packet in ElementTree.fromstring(tshark(path, "-T", "pdml")).iter("packet"):
        yield (
            [proto.get("name") for proto in packet.iter("proto")],
            [
                field
                for proto in packet.iter("proto")
                if proto.get("name") == "pana"
                for field in proto.iter("field")
            ],
        )


@pytest.mark.parametrize("name", WORLDS)
def test_tshark_reads_every_message_as_sent(name, tmp_path):
    sent = live(WORLDS[name])
    seen = list(dissect(tmp_path / "exchange.pcap", sent))
    assert len(seen) == len(sent)
    for (_, data), (protocols, fields) in zip(sent, seen, strict=True):
        message = RFC5191.decode(data)
        assert "pana" in protocols
        assert "_ws.malformed" not in protocols
        assert not [field for field in fields if field.get("name", "").startswith("_ws.")]
        shown = {field.get("name"): field.get("show") for field in fields}
        assert int(shown["pana.type"]) == int.from_bytes(data[6:8])
        assert int(shown["pana.length"]) == len(data)
        assert int(shown["pana.sid"], 0) == int.from_bytes(message.session)
        assert int(shown["pana.seq"], 0) == message.sequence
        # tshark 4.0 has the flags whole in the text of this field only.
        flags = next(f.get("showname") for f in fields if f.get("name") == "pana.flags")
        assert int(flags.removeprefix("Flags: "), 16) == int.from_bytes(data[4:6])
        # It gives the value of Result-Code, of 4 octets, as another code.
        codes = [
            int(field.get("show"))
            for field in fields
            if field.get("name") == "pana.avp.code" and field.get("size") == "2"
        ]
        assert codes == [CODES[avp.name].code for avp in message.avps]
