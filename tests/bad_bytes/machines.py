"""Machines that take octets, in the state in which they wait for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from agents.core.reader import WireError
from tests.bad_bytes import ike, layouts, pana
from tests.bad_bytes.exchange import Exchange, Kept, Scene, in_turn
from tests.bad_bytes.layouts import length_at
from tests.bad_bytes.target import Target

# Mobile IPv6, DHCPv6, DNS.


def _registration(detect: bool) -> Scene:
    from tests.mip6 import nodes

    mn, (ha, _) = nodes.mobile_node(), nodes.home_agent(detect=detect)
    return Scene(nodes.link(mn, ha), mn, "start", 0.0)


def mobility() -> Target:
    exchange = Exchange([_registration(detect) for detect in (False, True)])

    def fix(data):
        data += bytes(-(len(data) - 2) % 8)
        length = ((len(data) - 2) // 8 - 1) & 0xFF
        return data[:2] + b"\x3b" + bytes([length]) + data[4:] if len(data) > 4 else data

    return Target(
        exchange.take, exchange.seeds, layouts=(layouts.MOBILITY_OPTIONS,), header=8, fix=fix
    )


def _given(ways: Sequence[tuple[Any, Callable[[Any, bytes], None]]]) -> Callable[[bytes], None]:
    """Return what hands an input to a copy of one of the machines, and has it go on alone."""
    kept = [(Kept(machine), give) for machine, give in ways]

    def take(data: bytes) -> None:
        if not data:
            return
        state, give = kept[data[0] % len(ways)]
        machine = state.again()
        give(machine, data[1:])
        for _ in range(3):
            if (deadline := getattr(machine, "next_timeout", lambda: None)()) is not None:
                machine.handle_timeout(deadline)

    return take


def dhcpv6() -> Target:
    from agents.dhcpv6.client import InformationRequest
    from tests.dhcpv6 import world as w

    ways, seeds = [], []
    for homes in ([w.Home.IDENTIFIED, w.Home.UNRESTRICTED], [w.Home.LOCAL]):
        world = w.World(homes)
        world.relay.set_information(1, w.CARE_OF, w.HOME, w.NETWORK)
        client: InformationRequest = world.client
        client.start(0.0)
        client.handle_timeout(client.next_timeout() or 0.0)
        ways += [
            (client, lambda m, data: m.handle_message(data, w.SERVER, 1.0)),
            (world.relay, lambda m, data: m.from_client(data, w.CLIENT, 0.0)),
            (world.relay, lambda m, data: m.from_server(data, w.SERVER, 0.0)),
        ]
    for number in range(len(ways)):
        for homes in ([w.Home.IDENTIFIED, w.Home.UNRESTRICTED], [w.Home.LOCAL]):
            again = w.World(homes)
            again.relay.set_information(1, w.CARE_OF, w.HOME, w.NETWORK)
            seeds += [bytes([number]) + data for _, _, data in again.run().sent]
    return Target(_given(ways), seeds, layouts=(layouts.OPTIONS,), header=5)


def dns() -> Target:
    from tests.bad_bytes.decoders import dns as answers
    from tests.dns.test_home_agent_lookup import SERVER, lookup

    ways = []
    for tcp in (False, True):
        machine = lookup(tcp=tcp)
        machine.start(0.0)
        ((packet, _),) = machine.outbox
        ways.append(
            (
                machine,
                # The identifier and the question are right, as whoever is on the way has them.
                lambda m, data, to=packet: m.handle_message(to[:2] + data[2:], SERVER, 0.1),
            )
        )
    seeds = [bytes([n]) + data for n in (0, 1) for data in answers().seeds]
    return Target(_given(ways), seeds)


# Diameter.


def diameter() -> Target:
    """Octets on a connection: of a stranger, of a peer, and of the server that was connected to."""
    from agents.diameter.node import Node
    from tests.diameter import samples as s
    from tests.diameter.network import Network

    network = Network()
    network.add(Node(s.client_config((s.SERVER, (s.SERVER, 1))), rng=random.Random(1)))
    network.add(Node(s.server_config(), rng=random.Random(2)), s.serve)
    network.start()
    network.hosts[s.CLIENT].node.request(s.unaddressed(), network.now, 10.0)
    network.settle()
    begun = Kept(network)

    def take(data):
        if not data:
            return
        network = begun.again()
        name = (s.CLIENT, s.SERVER, s.SERVER)[data[0] % 3]
        node, number = network.hosts[name].node, 1
        if data[0] % 3 == 2:
            number = node.handle_accepted(network.now, s.LOCAL, s.LOCAL)
        node.handle_data(number, data[1:], network.now)
        network.run(7.0)

    network.run(7.0)
    seeds = [
        bytes([n]) + data
        for _, name, data in network.sent
        for n in ((0,) if name == s.SERVER else (1, 2))
    ]
    return Target(take, seeds, layouts=(layouts.AVPS,), header=21, fix=length_at(2, 3, behind=1))


def aaa() -> Target:
    """Requests to the home AAA server, with whatever stands in them."""
    import tempfile
    from pathlib import Path

    from agents.aaa.leases import Leases
    from agents.core.machine import PeerError
    from agents.diameter.eap import DiameterEapRequest
    from agents.diameter.sessions import KeyRequest, SessionRequest
    from agents.diameter.wire import Message
    from tests.aaa import test_home_aaa as usual
    from tests.aaa.server import home_aaa
    from tests.diameter.test_sessions import END, REQUEST
    from tests.eap.conversation import Authority

    folder = tempfile.TemporaryDirectory()
    authority = Authority.make(Path(folder.name))
    leases = Leases(Path(folder.name) / "leases.db").__enter__()
    tls, peer = authority.server_config(), usual.peer_of(authority)
    responses = [usual.identity_response(peer), peer.handle_request(b"\1\x4e\0\6\x0d\x20")]
    requests = [usual.ask(octets) for octets in responses]

    def take(data, held=folder):  # noqa: ARG001
        if not data:
            return
        server = home_aaa(usual.FILE, leases, tls)
        way, before = data[0] & 3, data[0] >> 2
        for request in requests[:before]:  # What went before it in its conversation.
            server.handle(request, 0.0)
        message = Message.decode(data[1:])
        match way:
            case 1:
                answer = server.handle_key(KeyRequest.from_message(message), 0.0)
            case 2:
                answer = server.handle_end(SessionRequest.from_message(message), 0.0)
            case _:
                answer = server.handle(DiameterEapRequest.from_message(message), 0.0)
        if hasattr(answer, "to_message"):
            answer.to_message().encode()
        server.handle_timeout(3600.0)

    seeds = [bytes([n << 2]) + one.to_message().encode() for n in range(3) for one in requests]
    seeds += [b"\1" + REQUEST.to_message().encode(), b"\2" + END.to_message().encode()]
    declared = (WireError, PeerError)
    return Target(take, seeds, declared, (layouts.AVPS,), header=21, fix=length_at(2, 3, behind=1))


# EAP-TLS, which cannot be copied: each input has a conversation of its own.


def eap_tls() -> Target:
    """A packet of either end altered; in TLS 1.2 certificates and keys are in clear."""
    import tempfile
    from pathlib import Path

    from agents.eap.peer import EapPeer
    from agents.eap.server import EapServer
    from agents.eap.tls import TlsVersion
    from tests.eap.conversation import IDENTITY, Authority, Conversation

    folder = tempfile.TemporaryDirectory()
    authority = Authority.make(Path(folder.name))
    versions: tuple[TlsVersion, ...] = ("1.2", "1.3")
    clients = {version: authority.client_config(version) for version in versions}
    servers = {version: authority.server_config(version) for version in versions}

    def converse(version, fragments):
        return Conversation(
            EapPeer(IDENTITY, clients[version], fragment_size=fragments),
            EapServer(servers[version], fragment_size=fragments),
        )

    def packets(version):
        conversation = converse(version, 60000).run()
        pairs = zip(conversation.requests, [*conversation.responses, b""], strict=False)
        return [packet for pair in pairs for packet in pair if packet]

    def take(data, held=folder):  # noqa: ARG001
        if len(data) < 2:
            return
        version, at = versions[data[0] % 2], data[0] >> 1
        conversation = converse(version, 60000 if data[1] & 1 else 200)
        packet, ends = (
            conversation.server.start(),
            (
                conversation.peer.handle_request,
                conversation.server.handle_response,
            ),
        )
        for number in range(60):
            if number == at:
                ends[number % 2](data[2:])
                if data[1] & 2:  # It comes in the place of the right one.
                    continue
            following = ends[number % 2](packet)
            if following is None:
                return
            packet = following

    seeds = [
        bytes((number << 1 | version, mode)) + packet
        for version in (0, 1)
        for number, packet in enumerate(packets(versions[version]))
        for mode in (1, 3)
    ]
    made = (layouts.RECORDS, layouts.HANDSHAKE, layouts.DER)
    return Target(take, seeds, layouts=made, header=8, fix=length_at(4, 2, behind=2))


# Sequences of what is well formed.


def sequences() -> Target:
    scenes = [
        *ike.ikev2_scenes(),
        *ike.ikev1_scenes(),
        *pana.pana_scenes(),
        _registration(detect=True),
    ]
    seeds = [bytes([n]) + bytes(12) for n in range(len(scenes))]
    seeds += [bytes([n]) + bytes(range(128, 150)) for n in range(len(scenes))]
    return Target(in_turn(scenes), seeds)


ALL = {
    "ikev1-machines": ike.ikev1,
    "ikev2-machines": ike.ikev2,
    "pana-machines": pana.pana,
    "pana-relay": pana.relay,
    "mobility-machines": mobility,
    "dhcpv6-machines": dhcpv6,
    "dns-machine": dns,
    "diameter-node": diameter,
    "home-aaa": aaa,
    "eap-tls": eap_tls,
    "sequences": sequences,
}
