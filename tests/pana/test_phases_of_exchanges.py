"""The harness's own dissector on what the machines send, in both dialects."""

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from agents.pana.draft12 import DRAFT12
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import AvpName, Kind
from testbed.trace import dissect
from testbed.trace.frames import Frame
from tests.pana.fakes import PAA, PAC, FakeAaa, FakePeer, World

RESULTS = {RFC5191: 0, DRAFT12: 2001}


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


def seen(world):
    """What the harness recognises in the capture of a link."""
    frames = []
    for at, source, data in world.link.sent:
        other = PAA if source == PAC else PAC
        ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        packet = ether / IPv6(src=source[0], dst=other[0]) / UDP(sport=716, dport=716) / data
        frames.append(Frame(time=int(at * 1e9), data=bytes(packet)))
    return list(dissect.dissect(frames))


def live(dialect, **settings):
    world = World(dialect=dialect, pac={"renew_eap": FakePeer}, **settings).bootstrap(1)
    session = world.session_id
    for step in (
        world.pac.ping,
        lambda now: world.paa.ping(session, now),
        world.pac.update,
        world.pac.reauthenticate,
        world.pac.terminate,
    ):
        assert step(world.link.now)
        world.link.run(world.link.now + 2)
    return world


@pytest.mark.parametrize("stateless", [False, True])
def test_every_message_is_recognised(dialect, stateless):
    world = live(dialect, paa={"stateless": stateless})
    recognised = seen(world)
    assert len(recognised) == len(world.link.sent)
    for message, got in zip(world.messages(), recognised, strict=True):
        assert got.label.split()[0] == dialect.label(message)
        assert got.initiation is (message.kind is Kind.INITIATION)
        assert got.request is message.request
        assert got.sequence == message.sequence
        assert got.final is (message.kind is Kind.RESULT)
        result = message.number(AvpName.RESULT_CODE)
        assert got.result_ok == (None if result is None else result == RESULTS[dialect])
        if message.has(AvpName.EAP_PAYLOAD):
            assert len(got.label.split()) > 1


def test_the_phase_begins_with_pci_and_ends_with_the_final_answer(dialect):
    recognised = seen(World(dialect=dialect).bootstrap(1))
    assert recognised[0].initiation
    final = [message for message in recognised if message.final]
    assert [(message.request, message.result_ok) for message in final] == [
        (True, True),
        (False, None),
    ]
    assert recognised[-1] is final[-1]


def test_a_rejection_is_no_success(dialect):
    recognised = seen(World(dialect=dialect, aaa=FakeAaa(code=1)).bootstrap(1))
    assert [message.result_ok for message in recognised if message.final] == [False, None]


def test_an_error_is_no_end_of_an_authentication():
    class Aaa(FakeAaa):
        def handle(self, paa, response):
            paa.eap_timeout(response.session_id, response.at)

    recognised = seen(World(dialect=DRAFT12, aaa=Aaa()).bootstrap(1))
    assert [message.label for message in recognised[-2:]] == ["PER", "PEA"]
    assert not any(message.final for message in recognised)
