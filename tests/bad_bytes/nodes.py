"""Whole nodes, which an AAA server, PANA, DHCPv6 or DNS tells anything."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from agents.bootstrap.assignment import Assignment
from agents.core.later import Later
from agents.core.machine import Address
from agents.core.reader import WireError
from agents.core.record import replace
from agents.dhcpv6.wire import ALL_RELAY_AGENTS_AND_SERVERS, CLIENT_PORT, SERVER_PORT
from agents.diameter import dictionary as d
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.sessions import SessionRequest
from agents.diameter.wire import Message
from agents.dns.wire import PORT
from agents.ikev2.config import Credentials
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.settings import (
    DiscoverySettings,
    EapSettings,
    MobileNodeConfiguration,
)
from agents.nodes.tls import TlsSettings
from agents.pana.config import PaaConfig
from agents.pana.paa import Paa
from tests.bad_bytes import layouts
from tests.bad_bytes.exchange import Kept
from tests.bad_bytes.layouts import length_at
from tests.bad_bytes.target import Target
from tests.eap.conversation import IDENTITY as NAME
from tests.ike import COA
from tests.nodes.aaa import Admitting
from tests.nodes.mobile_node.surroundings import ACCESS, HOME, IKEV2, IKEV2_EAP, HomeAgent
from tests.nodes.mobile_node.test_discovery import BY_DHCPV6, BY_DNS, SERVER, home, reply, respond
from tests.nodes.net import Net
from tests.nodes.simulated import INTERFACE, Network, Node
from tests.pana.fakes import MSK, PAA, FakeAaa, FakePeer, Keys, PaaWithAaa, eap

AFTERWARDS = 3.0
"""Seconds that follow an input, in which the mobile node and the node itself go on."""


class _Asked:
    """A node that waits for an answer of the server that holds it back."""

    def __init__(self, net: Net, aaa: Admitting, mobile_node: object) -> None:
        self.net, self._aaa, self.mobile_node = net, aaa, mobile_node

    def samples(self) -> list[Message]:
        """Return the answer that is held back, others like it, and orders about the session."""
        [held] = self._aaa.held
        answer = DiameterEapAnswer.from_message(held)
        full = replace(
            answer,
            assignment=self._aaa.granted["assignment"],
            session_timeout=60.0,
            authorization_lifetime=30.0,
            multi_round_timeout=5.0,
            sealed_assignment=bytes(40),
            auth_session_state=d.AuthSessionState.STATE_MAINTAINED,
            state=(b"state",),
        )
        request = self._aaa.asked[-1]
        orders = _orders(request.session_id, request.user_name, request.origin_host, 5)
        return [held, full.to_message(), *orders]

    def say(self, message: Message) -> None:
        self._aaa.say(message)


class _AskedForKey:
    """A home agent that waits for the answer about a key, or has been answered."""

    def __init__(self, world: Any, mobile_node: object) -> None:
        self.net, self._world, self.mobile_node = world.net, world, mobile_node
        self._later: list[Later[Message]] = []
        world.meanwhile = lambda _, later: self._later.append(later)
        world.silent = True

    def samples(self) -> list[Message]:
        request = self._world.asked[-1]
        orders = _orders(request.session_id, "mn@home.test", request.origin_host, 11)
        return [self._world.grant(request), *orders]

    def say(self, message: Message) -> None:
        if message.request:
            self._world.service.submit(message, lambda _: None)
        else:
            self._later.pop().settle(message)


def _orders(session: str, user: str | None, client: str, application: int) -> list[Message]:
    return [
        SessionRequest(
            command=command,
            session_id=session,
            application=application,
            origin_host="aaa.home.test",
            origin_realm="home.test",
            destination_realm=client.partition(".")[2],
            destination_host=client,
            user_name=user,
        ).to_message()
        for command in (d.Command.ABORT_SESSION, d.Command.RE_AUTH)
    ]


def _access_routers() -> list[_Asked]:
    """Return one that waits for a first answer, a last one, and one to a re-authentication."""
    from agents.nodes.access_settings import RelaySettings
    from tests.dhcpv6.world import NETWORK
    from tests.nodes.access_router.test_local_home_agent import ALICE, ASSIGNMENT, KEY, LOCAL
    from tests.nodes.access_router.world import World
    from tests.nodes.net import AAA, NAS

    asked = []
    for number in range(3):
        relay = RelaySettings(interface="core", address=NAS, network=NETWORK, server=AAA)
        world = World(local_kernel=True, local=LOCAL, relay=relay, early=True)
        aaa = world.aaa
        aaa.granted = {"assignment": ASSIGNMENT, "local_home_agent_key": KEY}
        if number < 2:
            aaa.holds = lambda request, aaa=aaa, first=number == 0: aaa.asks(request) is first
        client = world.bootstrap(ALICE)
        if number == 2:
            aaa.holds = lambda request, aaa=aaa: not aaa.asks(request)
            client.do("reauthenticate")
            world.net.run(0.3)
        asked.append(_Asked(world.net, aaa, client))
    return asked


def _by_eap() -> list[_Asked]:
    """Return home agents that wait for a first answer about a subscriber, and for a last one."""
    import tempfile
    from pathlib import Path

    from tests.nodes.home_agent.test_home_agent_eap import World, credentials
    from tests.nodes.net import COA

    asked = []
    with tempfile.TemporaryDirectory() as folder:
        tls = credentials(Path(folder))
        for first in (True, False):
            world = World(tls)
            aaa = world.aaa
            aaa.holds = lambda request, aaa=aaa, first=first: aaa.asks(request) is first
            asked.append(_Asked(world.net, aaa, world.connect(COA, patience=1.0)))
    return asked


def _by_keys() -> list[_AskedForKey]:
    """Return home agents that wait for a key, by either IKE, and for a subscriber's next one."""
    from tests.nodes.home_agent.test_key_client import LIFETIME, RENEW_AT, World

    asked = []
    for version in (1, 2):
        for renews in (False, True):
            world = World(version)
            mobile_node = world.connect() if renews else None
            waits = _AskedForKey(world, mobile_node)
            if renews:
                world.net.run(RENEW_AT * LIFETIME + 2.0)
            else:
                waits.mobile_node = world.connect(patience=2.0)
            asked.append(waits)
    return asked


def aaa_clients() -> Target:
    """Answers that a node waits for, and orders, well formed or not."""
    states = [*_access_routers(), *_by_eap(), *_by_keys()]
    seeds = [
        bytes([number]) + message.encode()
        for number, state in enumerate(states)
        for message in state.samples()
    ]
    kept = [Kept(state) for state in states]

    def take(data):
        if not data:
            return
        message = Message.decode(data[1:])
        state = kept[data[0] % len(kept)].again()
        state.say(message)
        state.net.run(AFTERWARDS)

    return Target(
        take, seeds, (WireError,), (layouts.AVPS,), header=21, fix=length_at(2, 3, behind=1)
    )


class Finding:
    """A mobile node that is about to hear of its home agent, by PANA without a discovery."""

    def __init__(self, discovery: DiscoverySettings | None) -> None:
        self.net = Network()
        node = Node(self.net, "B", IPv6Address(PAA[0]), SERVER)
        self._home_agent = HomeAgent(self.net)
        self._home_agent.share(Keys(MSK))
        self._aaa = FakeAaa(assignment=None, mute_after=None if discovery else 2)
        self._paa = PaaWithAaa(Paa(PaaConfig(), rng=random.Random(1)), self._aaa)
        self._access = node.host.datagrams(self._paa, PAA, lambda _: None)
        self._asked: list[tuple[bytes, Address]] = []
        self._dns = node.host.open_datagrams((str(SERVER), PORT), self._note)
        self._dhcpv6 = node.host.open_datagrams(
            ("::", SERVER_PORT),
            self._note,
            interface=INTERFACE,
            multicast=ALL_RELAY_AGENTS_AND_SERVERS,
        )
        mobile = Node(self.net, "A", COA)
        tls = TlsSettings(ca="", certificate="", key="")
        self._mobile_node = MobileNode(
            MobileNodeConfiguration(
                host="A",
                interface=INTERFACE,
                work="",
                eap=EapSettings(identity=NAME, server_name="", tls=tls),
                access=ACCESS,
                discovery=discovery,
                ikev2=IKEV2_EAP if discovery else IKEV2,
            ),
            mobile.host,
            mobile.mobile_node_kernel(),
            COA,
            mobile.log,
            keys=KeyLog(),
            make_eap=FakePeer,
            credentials=Credentials(),
        )
        self.told = mobile.told
        self._mobile_node.start()
        self.net.run(3.0)

    def _note(self, data: bytes, source: Address) -> None:
        self._asked.append((data, source))

    def tell(self, told: Assignment) -> None:
        """Tell of a home agent, and of a home address where that can be told."""
        if not self._asked:
            response = self._aaa.responses[-1]
            success = eap(3, response.packet[1] + 1)
            now, number = self.net.now, response.session_id
            self._access.call(self._paa.paa.accept, number, success, MSK, 600.0, told, now)
            return
        query, source = self._asked[0]
        if source[1] == CLIENT_PORT:
            network = IPv6Network((told.home_agent, told.prefix_length), strict=False)
            answer = home(told.home_agent, prefixes=(network,)).to_option()
            self._dhcpv6.send(reply(query, answer), source)
        else:
            self._dns.send(respond(query, [told.home_agent]), source)


_ODD = (COA, HOME.home_agent, SERVER, "ff02::1", "fe80::1", "::1", "::", "::ffff:192.0.2.1")
"""Addresses that are no home agent's, or no home address."""


def mobile_nodes() -> Target:
    """Any home agent and home address: 16 octets each, and one of a prefix length between them."""
    states = [Finding(discovery) for discovery in (None, BY_DHCPV6, BY_DNS)]
    kept = [Kept(state) for state in states]

    def take(data):
        if len(data) != 34 or data[17] > 128:
            return
        told = Assignment(IPv6Address(data[1:17]), data[17], IPv6Address(data[18:]))
        state = kept[data[0] % len(kept)].again()
        state.tell(told)
        state.net.run(AFTERWARDS)

    agent, home_address = HOME.home_agent.packed, HOME.home_address.packed
    odd = [IPv6Address(one).packed for one in _ODD]
    pairs = [(agent, home_address), *((agent, one) for one in odd), *((one, agent) for one in odd)]
    seeds = [
        bytes([number]) + there + bytes([HOME.prefix_length]) + here
        for number in range(len(states))
        for there, here in pairs
    ]
    return Target(take, seeds, fix=lambda data: data[:34].ljust(34, b"\0"))


ALL = {"aaa-clients": aaa_clients, "mobile-nodes": mobile_nodes}
