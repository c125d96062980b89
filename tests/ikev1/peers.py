"""A mobile node and a home agent that run IKEv1."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

from agents.core.record import replace
from agents.ikev1 import Config, IkeProposal, Ikev1, Mode, Selectors
from tests.ike import COA, HA, HOA, PSK, Ends

SELECTORS = Selectors(HOA, HA)

FAST = Config(proposals=(IkeProposal(128, 4, 19),))
AGGRESSIVE = replace(FAST, mode=Mode.AGGRESSIVE)


class Peers(Ends[Ikev1]):
    """Both ends, with the keys of each other."""

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
        self.rng = random.Random(1)
        super().__init__(
            Ikev1(rng=self.rng, local=COA, config=config),
            Ikev1(rng=random.Random(2), local=HA, config=ha_config or config),
            **link,
        )
        self.mn.add_psk(psk, peer=HA, home_address=HOA)
        self.ha.add_psk(
            ha_psk or psk,
            peer=None if identity else COA,
            identity=identity,
            home_address=home_address,
        )

    def connect(self, until: float = 40.0) -> None:
        """Initiate and run until nothing more happens."""
        self.mn.initiate(HA, SELECTORS, self.link.now)
        self.link.run(until)
