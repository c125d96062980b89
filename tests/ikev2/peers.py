"""A mobile node and a home agent that run IKEv2."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

from agents.core.record import replace
from agents.ike.esp import EspPair
from agents.ikev2 import (
    ChildDeleted,
    ChildEstablished,
    Config,
    Credentials,
    EspProposal,
    IkeEstablished,
    IkeProposal,
    Ikev2,
    Selectors,
)
from agents.ikev2.config import Allocate
from tests.ike import COA, HA, HOA, PSK, Ends, find

SELECTORS = Selectors(HOA, HA)
ASSIGN = Selectors(None, HA)

FAST = Config(proposals=(IkeProposal(),), esp_proposals=(EspProposal(),))


class Peers(Ends[Ikev2]):
    """Both ends, with the keys of each other."""

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
        self.rng, self.ha_rng = random.Random(1), random.Random(2)
        mn = Ikev2(rng=self.rng, local=COA, config=config, credentials=credentials)
        ha = Ikev2(
            rng=self.ha_rng,
            local=HA,
            config=ha_config or config,
            credentials=ha_credentials,
            allocate=allocate,
        )
        super().__init__(mn, ha, **link)
        if psk is not None:
            self.mn.add_psk(psk, peer=HA)
            self.ha.add_psk(
                ha_psk or psk,
                peer=None if identity else COA,
                identity=identity,
                home_address=home_address,
            )

    def connect(self, until: float = 40.0, selectors: Selectors = SELECTORS, **how) -> None:
        """Initiate and run until nothing more happens."""
        self.mn.initiate(HA, selectors, self.link.now, **how)
        self.link.run(until)


def pairs(machine: Ikev2) -> list[EspPair]:
    """Return the ESP SAs that a machine's owner has in the kernel, oldest first."""
    live: dict[int, EspPair] = {}
    for event in machine.events:
        if isinstance(event, ChildEstablished):
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
        for here, there in ((pair.inbound, other.outbound), (pair.outbound, other.inbound)):
            assert replace(here, lifetime=0.0) == replace(there, lifetime=0.0)
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
