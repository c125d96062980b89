"""Runs one `Ikev1`; the only argument is JSON. Takes the command `delete`."""

from __future__ import annotations

import json
import random
import sys
from ipaddress import IPv6Address

from agents.core.machine import Timing
from agents.ikev1 import Config, IkeProposal, Ikev1, Mode, Selectors
from tests.lab.ike_driver import Driver


class Ikev1Driver(Driver[Ikev1]):
    def build(self) -> Ikev1:
        spec = self.spec
        config = Config(
            mode=Mode(spec.get("mode", "main")),
            identity=spec.get("identity"),
            proposals=tuple(IkeProposal(*p) for p in spec["proposals"]),
            pfs=spec.get("pfs"),
            esp_lifetime=spec.get("esp_lifetime", 3600),
            timing=Timing(initial=0.5, maximum=2.0, count=4),
            negotiation_timeout=8.0,
        )
        machine = Ikev1(rng=random.SystemRandom(), local=IPv6Address(spec["local"]), config=config)
        home_address = spec.get("home_address")
        machine.add_psk(
            spec["psk"].encode(),
            peer=self.peer if spec.get("by_address", True) else None,
            identity=spec.get("peer_identity"),
            home_address=IPv6Address(home_address) if home_address else None,
        )
        return machine

    def initiate(self, now: float) -> None:
        local, remote = map(IPv6Address, self.spec["selectors"])
        self.machine.initiate(self.peer, Selectors(local, remote), now)


if __name__ == "__main__":
    Ikev1Driver(json.loads(sys.argv[1])).run()
