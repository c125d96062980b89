"""EAP-TLS itself through both dialects, seen by tshark with the shipped dissector."""

import pytest

from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authenticated, Authorised
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import Result
from tests.eap.conversation import IDENTITY, Authority
from tests.pana.fakes import ASSIGNMENT, World
from tests.pana.test_dissector import complaints, dissected, protocols


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("authority"))


class TlsAaa:
    """An AAA with one EAP server per conversation."""

    def __init__(self, authority):
        self.authority = authority
        self.servers = {}

    def handle(self, paa, response):
        number, packet = response.session_id, response.packet
        if packet[4] == 1:
            self.servers[number] = EapServer(self.authority.server_config(), fragment_size=400)
        server = self.servers[number]
        answer = server.handle_response(packet)
        if server.outcome == "success":
            paa.accept(number, answer, server.keys.msk, 600.0, ASSIGNMENT, response.at)
        elif server.outcome == "failure":
            paa.reject(number, answer, Result.AUTHENTICATION_REJECTED, response.at)
        elif answer is not None:
            paa.eap_request(number, answer, response.at)


@pytest.mark.parametrize("dialect", [RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("start", [{}, {"stateless": True}, {"optimized": True}])
def test_eap_tls_runs_and_renews(tmp_path, authority, dialect, start):
    def peer():
        return EapPeer(IDENTITY, authority.client_config(), fragment_size=400)

    world = World(
        dialect=dialect,
        aaa=TlsAaa(authority),
        peer=peer(),
        pac={"renew_eap": peer},
        paa=start,
        drop={6},
    ).bootstrap(10)
    assert world.pac.reauthenticate(10.0)
    world.link.run(20)
    first, second = world.pac_events(Authenticated)
    assert first.msk != second.msk
    assert len(world.server.only(Authorised)) == 2
    packets = dissected(tmp_path, [(source, data) for _, source, data in world.link.sent])
    named = "pana12" if dialect is DRAFT12 else "pana"
    assert all(named in protocols(packet) for packet in packets)
    assert all("_ws.malformed" not in protocols(packet) for packet in packets)
    assert sum("tls" in protocols(packet) for packet in packets) >= 4
    marked = {name for packet in packets for name in complaints(packet)}
    assert not any(name.startswith("pana12") for name in marked)
