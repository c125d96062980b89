"""An assignment ahead of the result, and EAP requests that the PAA makes itself."""

from __future__ import annotations

import pytest

from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.wire import Code, Packet, TlsData, Type
from agents.pana.dialects import DIALECTS
from agents.pana.events import AssignmentForetold, Authenticated, Authorised
from agents.pana.wire import Avp, AvpName, Kind
from tests.eap.conversation import IDENTITY, Authority
from tests.pana.fakes import FakeAaa, World, eap, reasons
from tests.pana.test_dissector import complaints, dissected, protocols

SEALED = b"sealed for the mobile node"


@pytest.fixture(params=DIALECTS.values(), ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


class EarlyAaa(FakeAaa):
    """Gives its sealed octets with the last EAP request, and with success."""

    def handle(self, paa, response):
        session, number = response.session_id, self.done.get(response.session_id, -1) + 1
        if number == self._rounds - 1:
            self.responses.append(response)
            self.done[session] = number
            request = eap(1, (response.packet[1] + 1) % 256, b"\xfflast")
            paa.eap_request(session, request, response.at, sealed=SEALED)
        else:
            super().handle(paa, response)


def test_what_is_sealed_comes_before_the_result(dialect):
    world = World(dialect=dialect, aaa=EarlyAaa(), paa={"optimized": True}).bootstrap()
    kinds = [type(e) for e in world.pac.events if isinstance(e, AssignmentForetold | Authenticated)]
    assert kinds == [AssignmentForetold, Authenticated]
    (foretold,) = world.pac_events(AssignmentForetold)
    assert foretold.sealed == SEALED
    assert foretold.session_id == world.session_id
    assert SEALED.hex() not in repr(foretold)
    carriers = [m.kind for m in world.messages() if m.has(AvpName.SEALED_ASSIGNMENT)]
    assert carriers == [Kind.AUTH]


@pytest.mark.parametrize(("pac", "paa"), [(False, True), (True, False)])
def test_who_did_not_ask_for_a_home_agent_gets_nothing(dialect, pac, paa):
    world = World(
        dialect=dialect, aaa=EarlyAaa(), pac={"mobility": pac}, paa={"mobility": paa}
    ).bootstrap()
    assert world.pac_events(Authenticated)
    assert not world.pac_events(AssignmentForetold)
    assert not any(m.has(AvpName.SEALED_ASSIGNMENT) for m in world.messages())


def test_it_does_not_come_again_with_the_next_request(dialect):
    class OnceEarly(EarlyAaa):
        def handle(self, paa, response):
            if self.done.get(response.session_id, -1) == -1:
                self.done[response.session_id] = 0
                self.responses.append(response)
                request = eap(1, (response.packet[1] + 1) % 256, b"\xfffirst")
                paa.eap_request(response.session_id, request, response.at, sealed=SEALED)
            else:
                FakeAaa.handle(self, paa, response)

    world = World(dialect=dialect, aaa=OnceEarly()).bootstrap()
    assert world.pac_events(Authenticated)
    assert len(world.pac_events(AssignmentForetold)) == 1


@pytest.mark.parametrize("lost", range(10))
def test_any_message_may_be_lost(dialect, lost):
    world = World(dialect=dialect, aaa=EarlyAaa(), drop={lost}).bootstrap()
    assert len(world.pac_events(AssignmentForetold)) == 1
    assert len(world.pac_events(Authenticated)) == 1


def test_a_request_that_eap_discards_tells_nothing(dialect):
    world = World(dialect=dialect, aaa=EarlyAaa())
    world.peer._mute_at = 3
    world.bootstrap()
    assert not world.pac_events(AssignmentForetold)
    assert not world.pac_events(Authenticated)


def test_only_requests_that_carry_eap_may_carry_it(dialect):
    def tamper(data):
        message = dialect.decode(data)
        if message.kind is not Kind.AUTH or message.request:
            return data
        avps = (*message.avps, Avp(AvpName.SEALED_ASSIGNMENT, SEALED))
        return dialect.encode(
            type(message)(message.kind, False, message.session, message.sequence, avps)
        )

    world = World(dialect=dialect, tamper=tamper).bootstrap(20)
    assert not world.pac_events(Authenticated)
    assert any("is not allowed in" in reason for reason in reasons(world.server.log))


def tls_start(identifier):
    return Packet(Code.REQUEST, identifier, Type.TLS, TlsData(start=True).encode()).encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("foretold"))


class TlsAaa:
    """An EAP server that goes on with what the PAA has started, and seals early."""

    def __init__(self, authority):
        self.server = EapServer(authority.server_config(), pick_up=True)

    def handle(self, paa, response):
        server, number = self.server, response.session_id
        answer = server.handle_response(response.packet)
        if server.outcome == "success":
            paa.accept(number, answer, server.keys.msk, 600.0, None, response.at, sealed=SEALED)
        elif answer is not None:
            sealed = SEALED if server.early_keys else None
            paa.eap_request(number, answer, response.at, sealed=sealed)


@pytest.mark.parametrize(("start", "messages"), [({"optimized": True}, 9), ({}, 11)])
def test_eap_tls_begins_in_the_first_request(tmp_path, authority, dialect, start, messages):
    world = World(
        dialect=dialect,
        aaa=TlsAaa(authority),
        peer=EapPeer(IDENTITY, authority.client_config()),
        paa={"first_request": tls_start, **start},
    ).bootstrap(10)
    (foretold,) = world.pac_events(AssignmentForetold)
    (authenticated,) = world.pac_events(Authenticated)
    assert foretold.sealed == authenticated.sealed == SEALED
    assert len(world.server.only(Authorised)) == 1
    assert len(world.link.sent) == messages
    assert not any(IDENTITY.encode() in data for _, _, data in world.link.sent)
    packets = dissected(tmp_path, [(source, data) for _, source, data in world.link.sent])
    assert all("_ws.malformed" not in protocols(packet) for packet in packets)
    marked = {name for packet in packets for name in complaints(packet)}
    assert not any(name.startswith("pana12") for name in marked)
