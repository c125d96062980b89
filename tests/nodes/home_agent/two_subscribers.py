"""A home agent with two subscribers, each on a host of its own, without a network."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from ipaddress import IPv6Address
from itertools import count
from typing import Any

from agents.core.eventlog import EventLog
from agents.ike.esp import EspPair
from agents.ikev1 import events as ikev1
from agents.ikev1.ikev1 import Ikev1
from agents.ikev2 import ChildEstablished, Ikev2
from agents.kernel.model_port import ModelHomeAgent
from agents.kernel.packet import MOBILITY_HEADER, Packet
from agents.mip6.codec import BindingUpdate, encode
from agents.nodes.home_agent.preshared import PresharedIke
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from tests.nodes.home_agent.lone_host import LoneHost

HA = IPv6Address("2001:db8:100::1")
ALICE, BOB = "alice@home.test", "bob@home.test"
HOME = {ALICE: IPv6Address("2001:db8:100::a"), BOB: IPv6Address("2001:db8:100::b")}
CARE_OF = {ALICE: IPv6Address("2001:db8:a::a"), BOB: IPv6Address("2001:db8:a::b")}
KEYS = {ALICE: b"key of Alice", BOB: b"key of Bob"}
SETTINGS = HomeAgentSettings(
    address=str(HA),
    interface="home",
    prefix="2001:db8:100::/56",
    duplicate_address_detection=False,
)


class World:
    """The home agent, the kernel's model under it, and the subscribers' IKE."""

    def __init__(self) -> None:
        self.host, self.kernel = LoneHost(), ModelHomeAgent(None, HA)
        self.log = EventLog("C", "role", io.StringIO())
        self.home_agent = HomeAgentService(self.host, self.kernel, SETTINGS, self.log)
        self.home_agent.open()
        self._nodes: dict[IPv6Address, Any] = {}
        self._seeds = count()
        self._sequences = count(1)

    def ask(self, who: str, initiate: Callable[[random.Random], Any]) -> EspPair | None:
        """Let a subscriber's new IKE ask for SAs; return what it has got."""
        self._nodes[CARE_OF[who]] = node = initiate(random.Random(next(self._seeds)))
        self._settle()
        kinds = (ChildEstablished, ikev1.ChildEstablished)
        made = [event.pair for event in node.events if isinstance(event, kinds)]
        return made[-1] if made else None

    def _settle(self) -> None:
        here = self.host.datagrams_at[500]
        while here.sent or any(node.outbox for node in self._nodes.values()):
            for care_of, node in self._nodes.items():
                while node.outbox:
                    here.receive(node.outbox.popleft()[0], (str(care_of), 500))
            while here.sent:
                data, (there, _) = here.sent.popleft()
                node = self._nodes[IPv6Address(there)]
                node.handle_message(data, (str(HA), 500), self.host.clock)

    def bind(self, home: IPv6Address, care_of: IPv6Address, under: EspPair | None) -> bool:
        """Let a Binding Update come in under an SA; return whether the home address is bound."""
        update = encode(BindingUpdate(next(self._sequences), 420, care_of=care_of))
        sa = under.outbound if under else None
        packet = Packet(care_of, HA, MOBILITY_HEADER, payload=update, home_address=home, esp=sa)
        if self.kernel.kernel.input(packet):
            self.host.mobility.receive(update, (str(home), 0))
        return self.kernel.bound.get(home) == care_of

    def homes_with_sas(self) -> set[IPv6Address]:
        """Return the home addresses that the kernel has SAs for."""
        return {end for sa in self.kernel.sas.values() for end in (sa.source, sa.destination)} - {
            HA
        }

    def ends(self) -> list[object]:
        """Return what the kernel was asked to end, in the order in which that was first asked."""
        ends = ("unbind", "uninstall", "forget")
        return [*dict.fromkeys(name for name, *_ in self.kernel.calls if name in ends)]


class KeyWorld(World):
    """The subscribers have keys, and run one version of IKE."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self._version = version
        self._ikev1, self._ikev2 = (
            Ikev1Settings(mode="aggressive"),
            Ikev2Settings(authentication="psk"),
        )
        settings = self._ikev1 if version == 1 else self._ikev2
        self.ike = PresharedIke(self.host, self.home_agent, settings, self.log)
        self.ike.open()

    def share(self, who: str, home: IPv6Address | None = None, lifetime: float = 600.0) -> bool:
        """Let a subscriber have a home address, its own unless another is given."""
        return self.ike.share(who, home or HOME[who], KEYS[who], CARE_OF[who], lifetime)

    def connect(self, who: str, home: IPv6Address | None = None) -> EspPair | None:
        """Let a subscriber ask for SAs for a home address; return what it has got."""

        def initiate(rng: random.Random) -> Ikev1 | Ikev2:
            node: Ikev1 | Ikev2
            if self._version == 1:
                node = Ikev1(rng=rng, local=CARE_OF[who], config=self._ikev1.config(who))
            else:
                config = self._ikev2.config(who, responder=False)
                node = Ikev2(rng=rng, local=CARE_OF[who], config=config)
            node.add_psk(KEYS[who], peer=HA, home_address=home or HOME[who])
            node.initiate(HA, (home or HOME[who], HA), self.host.clock)
            return node

        return self.ask(who, initiate)
