"""A home agent without sockets: the machine, its driver, and a fake kernel."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network

from agents.core.eventlog import EventLog
from agents.kernel.model_port import ModelHomeAgent
from agents.mip6.codec import BindingUpdate, encode
from agents.mip6.home_agent import HomeAgent
from agents.nodes.home_agent.machine import Authorisations
from agents.shell.driver import Driver


class HomeAgentBeside:
    """What HomeAgentService is to IKE. Must be made inside a running event loop."""

    def __init__(self, address: IPv6Address, prefix: str, log: EventLog) -> None:
        self.address = address
        self.prefix = IPv6Network(prefix)
        self.kernel = ModelHomeAgent(None, address)
        self.machine = HomeAgent(
            address,
            self.prefix,
            kernel=self.kernel,
            rng=random.Random(1),
            duplicate_address_detection=False,
        )
        self.driver = Driver(self.machine, lambda *_: None, self._handle)
        self.authorisations = Authorisations(self.machine, self.driver, self.kernel, log)

    def _handle(self, event):
        self.authorisations.handle(event)

    def register(self, home_address: IPv6Address, care_of: IPv6Address, sequence: int = 1) -> bool:
        """Let a Binding Update come in under ESP; return whether the home address is bound."""
        update = encode(BindingUpdate(sequence, 420, care_of=care_of))
        self.driver.receive(update, (str(home_address), 0))
        return self.kernel.bound.get(home_address) == care_of
