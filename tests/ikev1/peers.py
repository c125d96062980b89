"""A mobile node and a home agent on a link, and what they have sent."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv6Address
from typing import TypeVar

from agents.ikev1 import Config, IkeProposal, Ikev1, Mode, Selectors
from agents.machine import Event
from tests.link import Link

COA = IPv6Address("2001:db8:a::2")
HA = IPv6Address("2001:db8:100::1")
HOA = IPv6Address("2001:db8:100::1234")
SELECTORS = Selectors(HOA, HA)
PSK = bytes(range(32))
E = TypeVar("E", bound=Event)

FAST = Config(proposals=(IkeProposal(128, 4, 19),))
AGGRESSIVE = replace(FAST, mode=Mode.AGGRESSIVE)


class Peers:
    """Both ends; `link` carries what they send once they are joined."""

    def __init__(
        self,
        config: Config = FAST,
        ha_config: Config | None = None,
        *,
        psk: bytes = PSK,
        ha_psk: bytes | None = None,
        identity: str | None = None,
        home_address: IPv6Address | None = HOA,
        **link: object,
    ) -> None:
        self.mn = Ikev1(rng=random.Random(1), local=COA, config=config)
        self.ha = Ikev1(rng=random.Random(2), local=HA, config=ha_config or config)
        self.mn.add_psk(psk, peer=HA, home_address=HOA)
        self.ha.add_psk(
            ha_psk or psk,
            peer=None if identity else COA,
            identity=identity,
            home_address=home_address,
        )
        self.link = Link(self.mn, (str(COA), 500), self.ha, (str(HA), 500), **link)

    def connect(self, until: float = 40.0) -> None:
        """Initiate and run until nothing more happens."""
        self.mn.initiate(HA, SELECTORS, self.link.now)
        self.link.run(until)

    @property
    def sent(self) -> list[bytes]:
        """Every datagram of either side."""
        return [data for _, _, data in self.link.sent]

    def reasons(self, machine: Ikev1, kind: type[Event]) -> list[str]:
        """Return the reasons in a machine's events of one kind."""
        return [e.reason for e in machine.events if type(e) is kind]


def find(machine: Ikev1, kind: type[E]) -> list[E]:
    """Return a machine's events of one kind."""
    return [e for e in machine.events if type(e) is kind]


def names(machine: Ikev1) -> list[str]:
    """Return the names of a machine's events in order."""
    return [type(e).__name__ for e in machine.events]
