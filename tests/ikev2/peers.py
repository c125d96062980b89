"""A mobile node and a home agent on a link, and what they have sent."""

from __future__ import annotations

import random
from ipaddress import IPv6Address
from typing import TypeVar

from agents.ikev2 import (
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Config,
    Credentials,
    EspProposal,
    IkeEstablished,
    IkeProposal,
    Ikev2,
    Selectors,
)
from agents.ikev2.config import Allocate
from agents.ipsec import EspPair
from agents.machine import Event
from tests.link import Link

COA = IPv6Address("2001:db8:a::2")
HA = IPv6Address("2001:db8:100::1")
HOA = IPv6Address("2001:db8:100::1234")
SELECTORS = Selectors(HOA, HA)
ASSIGN = Selectors(None, HA)
PSK = bytes(range(32))
E = TypeVar("E", bound=Event)

FAST = Config(proposals=(IkeProposal(),), esp_proposals=(EspProposal(),))


class Peers:
    """Both ends; `link` carries what they send once they are joined."""

    def __init__(
        self,
        config: Config = FAST,
        ha_config: Config | None = None,
        *,
        psk: bytes | None = PSK,
        ha_psk: bytes | None = None,
        identity: str | None = None,
        home_address: IPv6Address | None = HOA,
        credentials: Credentials | None = None,
        ha_credentials: Credentials | None = None,
        allocate: Allocate | None = None,
        **link: object,
    ) -> None:
        self.mn = Ikev2(rng=random.Random(1), local=COA, config=config, credentials=credentials)
        self.ha = Ikev2(
            rng=random.Random(2),
            local=HA,
            config=ha_config or config,
            credentials=ha_credentials,
            allocate=allocate,
        )
        if psk is not None:
            self.mn.add_psk(psk, peer=HA)
            self.ha.add_psk(
                ha_psk or psk,
                peer=None if identity else COA,
                identity=identity,
                home_address=home_address,
            )
        self.link = Link(self.mn, (str(COA), 500), self.ha, (str(HA), 500), **link)

    def connect(self, until: float = 40.0, selectors: Selectors = SELECTORS, **how) -> None:
        """Initiate and run until nothing more happens."""
        self.mn.initiate(HA, selectors, self.link.now, **how)
        self.link.run(until)

    @property
    def sent(self) -> list[bytes]:
        """Every datagram of either side."""
        return [data for _, _, data in self.link.sent]

    def reasons(self, machine: Ikev2, kind: type[Event]) -> list[str]:
        """Return the reasons in a machine's events of one kind."""
        return [e.reason for e in machine.events if type(e) is kind]


def find(machine: Ikev2, kind: type[E]) -> list[E]:
    """Return a machine's events of one kind."""
    return [e for e in machine.events if type(e) is kind]


def names(machine: Ikev2) -> list[str]:
    """Return the names of a machine's events in order."""
    return [type(e).__name__ for e in machine.events]


def pairs(machine: Ikev2) -> list[EspPair]:
    """Return the ESP SAs that a machine's owner has in the kernel, oldest first."""
    live: dict[int, EspPair] = {}
    for event in machine.events:
        if isinstance(event, ChildKeyed | ChildEstablished):
            live[event.pair.inbound.spi] = event.pair
        elif isinstance(event, ChildDeleted):
            del live[event.pair.inbound.spi]
    return list(live.values())


def assert_same_sas(peers: Peers, count: int = 1) -> None:
    """Both ends hold the same SAs, one's inbound being the other's outbound."""
    ours, theirs = pairs(peers.mn), pairs(peers.ha)
    assert len(ours) == len(theirs) == count
    mirrored = {(p.outbound.spi, p.inbound.spi): p for p in theirs}
    for pair in ours:
        other = mirrored[pair.inbound.spi, pair.outbound.spi]
        assert (pair.inbound, pair.outbound) == (other.outbound, other.inbound)
        assert pair.outbound.protocol == 135
        assert pair.outbound.encryption_key != pair.inbound.encryption_key


def assert_up(peers: Peers) -> None:
    """One IKE SA and one pair of ESP SAs from HoA to HA came up, alike on both ends."""
    assert_same_sas(peers)
    (pair,) = pairs(peers.mn)
    assert (pair.outbound.source, pair.outbound.destination) == (HOA, HA)
    (a,), (b,) = find(peers.mn, IkeEstablished), find(peers.ha, IkeEstablished)
    for field in ("spi_i", "spi_r", "sk_ei", "sk_er", "sk_ai", "sk_ar", "encryption"):
        assert getattr(a, field) == getattr(b, field), field
