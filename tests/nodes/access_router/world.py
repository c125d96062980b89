"""An access router on the virtual clock, with mobile nodes' PaCs and an AAA server."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address
from agents.dhcpv6.wire import ALL_RELAY_AGENTS_AND_SERVERS, CLIENT_PORT, SERVER_PORT
from agents.nodes.access_router.machine import AccessRouter
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.pana.config import PacConfig
from agents.pana.pac import Pac
from tests.dhcpv6 import world as dhcpv6
from tests.nodes.aaa import SERVER, Admitting
from tests.nodes.net import ACCESS, HA, LOCAL_HA, ROUTER, Net
from tests.pana.fakes import FakePeer

INFORMATION_REQUEST = dhcpv6.World().run().sent[0][2]
PAA = (ROUTER, 716)
ASSIGNMENT = Assignment(HA, 64, HA + 1)


class Client:
    """A PaC at a place; `events` are all that it has told of."""

    def __init__(self, net: Net, place: Address, peer) -> None:
        self.events = []
        self._host = net.program(net.host_of(IPv6Address(place[0])))
        self.pac = Pac(PAA, peer(), PacConfig(renew_eap=peer), rng=self._host.rng)
        self._endpoint = self._host.datagrams(self.pac, place, self.events.append)

    def do(self, name: str) -> bool:
        """Call one of the PaC's methods that take the time alone."""
        return self._endpoint.call(getattr(self.pac, name), self._host.now())

    def move(self, place: Address) -> None:
        """Go on from another place."""
        self._endpoint.rebind(partial(self._host.open_datagrams, place))

    def rebind(self, opened) -> None:
        """Go on over another transport."""
        self._endpoint.rebind(opened)

    def vanish(self) -> None:
        """Be gone without a word."""
        self._host.kill()

    def only(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


class World:
    """The access router on B, and the AAA server on C."""

    def __init__(self, *, local_kernel: bool = False, **settings) -> None:
        self.net = Net()
        self.filter = self.net.enforcement()
        self.filter.close_access()
        self.local = self.net.home_agent(LOCAL_HA) if local_kernel else None
        self.aaa = Admitting(self.net, assignment=ASSIGNMENT)
        self.configuration = AccessRouterConfiguration(
            host="B",
            diameter_identity="b.test",
            diameter_realm="test",
            home=SERVER,
            access_interface="access",
            access_prefix=ACCESS,
            address=ROUTER,
            **settings,
        )
        self.router = AccessRouter(
            self.configuration,
            self.net.program("B"),
            self.filter,
            self.net.log("B"),
            epoch=1,
            local_kernel=self.local,
        )
        up = []
        self.router.start(lambda: up.append(True))
        assert self.net.run(5.0, lambda: up)
        assert up == [True]

    def client(self, place: Address, **peer) -> Client:
        return Client(self.net, place, partial(FakePeer, rounds=1, **peer))

    def bootstrap(self, place: Address, **peer) -> Client:
        """Have a mobile node at a place ask for access, and let that be answered."""
        client = self.client(place, **peer)
        client.do("start")
        self.net.run(0.3)
        return client

    def open(self) -> set[str]:
        """Return for whom the filter is open."""
        return {str(address) for address in self.filter.authorised}

    def sent(self) -> int:
        """Return how many datagrams the PAA has sent."""
        packets = [sent.packet for sent in self.net.world.sent]
        return sum(p.source_port == PAA[1] and str(p.destination) != ROUTER for p in packets)

    def told(self, name: str) -> list[dict]:
        return self.net.told(name)


def supplied(world: World, address: str) -> bool:
    """Ask by DHCPv6 from an address; return whether information goes with that."""
    program = world.net.program(world.net.host_of(IPv6Address(address)))
    client = program.open_datagrams((address, CLIENT_PORT), lambda *_: None)
    client.send(INFORMATION_REQUEST, (f"{ALL_RELAY_AGENTS_AND_SERVERS}%access", SERVER_PORT))
    client.close()
    before = len(world.told("Forwarded"))
    world.net.run(0.1)
    (forwarded,) = world.told("Forwarded")[before:]
    return forwarded["supplied"]
