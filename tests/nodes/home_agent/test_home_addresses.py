"""Two subscribers at one home agent: IKE, binding cache and kernel agree on whose an address is."""

from __future__ import annotations

import errno
import io
import random
from ipaddress import IPv6Address
from itertools import count
from typing import Any

import pytest

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
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.ike_daemon.settings import IkeSettings
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
    """A home agent with keys, and mobile nodes that run one version of IKE with it."""

    def __init__(self, version: int) -> None:
        self.host, self.kernel = LoneHost(), ModelHomeAgent(None, HA)
        log = EventLog("C", "role", io.StringIO())
        self.home_agent = HomeAgentService(self.host, self.kernel, SETTINGS, log)
        aggressive, psk = IkeSettings(mode="aggressive"), Ike2Settings(authentication="psk")
        self.ike = PresharedIke(
            self.host,
            self.home_agent,
            aggressive if version == 1 else None,
            psk if version == 2 else None,
            log,
        )
        self._config = aggressive.config if version == 1 else self._config_of(psk)
        self._machine: type[Any] = Ikev1 if version == 1 else Ikev2
        self._nodes: dict[IPv6Address, Any] = {}
        self._seeds = count()
        self._sequences = count(1)

    @staticmethod
    def _config_of(settings: Ike2Settings) -> Any:
        return lambda identity: settings.config(identity, responder=False)

    def share(self, who: str, home: IPv6Address | None = None, lifetime: float = 600.0) -> bool:
        """Let a subscriber have a home address, its own unless another is given."""
        return self.ike.share(who, home or HOME[who], KEYS[who], CARE_OF[who], lifetime)

    def connect(self, who: str, home: IPv6Address | None = None) -> EspPair | None:
        """Let a subscriber ask for SAs for a home address; return what the kernel has then."""
        node = self._machine(
            rng=random.Random(next(self._seeds)), local=CARE_OF[who], config=self._config(who)
        )
        self._nodes[CARE_OF[who]] = node
        node.add_psk(KEYS[who], peer=HA, home_address=home or HOME[who])
        node.initiate(HA, (home or HOME[who], HA), self.host.clock)
        self._settle()
        kinds = (ChildEstablished, ikev1.ChildEstablished)
        made = [event.pair for event in node.events if isinstance(event, kinds)]
        return EspPair(made[-1].outbound, made[-1].inbound) if made else None

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
        packet = Packet(
            care_of,
            HA,
            MOBILITY_HEADER,
            payload=update,
            home_address=home,
            esp=under.inbound if under else None,
        )
        if self.kernel.kernel.input(packet):
            self.host.mobility.receive(update, (str(home), 0))
        return self.kernel.bound.get(home) == care_of

    def homes_with_sas(self) -> set[IPv6Address]:
        """Return the home addresses that the kernel has SAs for."""
        return {end for sa in self.kernel.sas.values() for end in (sa.source, sa.destination)} - {
            HA
        }

    def calls(self) -> list[object]:
        """Return what the kernel was asked to end, in the order in which that was first asked."""
        ends = ("unbind", "uninstall", "forget")
        return [*dict.fromkeys(name for name, *_ in self.kernel.calls if name in ends)]


@pytest.fixture(params=[1, 2])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_everybody_registers_its_own_home_address(world):
    for who in (ALICE, BOB):
        assert world.share(who)
        assert world.bind(HOME[who], CARE_OF[who], world.connect(who))
    assert world.kernel.bound == {HOME[who]: CARE_OF[who] for who in (ALICE, BOB)}


def test_nobody_has_sas_for_anothers_home_address(world):
    assert world.share(ALICE)
    assert world.share(BOB)
    pair = world.connect(BOB, HOME[ALICE])
    assert not world.bind(HOME[ALICE], CARE_OF[BOB], pair)
    assert HOME[ALICE] not in world.homes_with_sas()


def test_an_update_under_ones_own_sa_for_anothers_home_address_is_refused(world):
    world.share(ALICE)
    world.share(BOB)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    pair = world.connect(BOB)
    assert pair
    assert not world.bind(HOME[ALICE], CARE_OF[BOB], pair)
    assert world.kernel.bound == {HOME[ALICE]: CARE_OF[ALICE]}


def test_an_update_under_an_sa_of_the_one_before_is_refused(world):
    world.share(ALICE)
    before = world.connect(ALICE)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], before)
    world.home_agent.release(ALICE)
    assert world.share(BOB, HOME[ALICE])
    assert world.bind(HOME[ALICE], CARE_OF[BOB], world.connect(BOB, HOME[ALICE]))
    assert not world.bind(HOME[ALICE], CARE_OF[ALICE], before)
    assert world.kernel.bound == {HOME[ALICE]: CARE_OF[BOB]}


def test_without_a_hold_an_sa_in_the_kernel_is_not_enough(world):
    world.share(ALICE)
    pair = world.connect(ALICE)
    world.home_agent.release(ALICE)
    world.kernel.install(pair)
    assert not world.bind(HOME[ALICE], CARE_OF[ALICE], pair)


@pytest.mark.parametrize("on_time", [True, False])
def test_a_hold_ends_with_binding_then_ike_then_what_is_left_in_the_kernel(world, on_time):
    world.share(ALICE, lifetime=60.0)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    if on_time:
        world.host.advance(60.0)
    else:
        world.home_agent.release(ALICE)
    assert world.calls() == ["unbind", "uninstall", "forget"]
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.connect(ALICE) is None


@pytest.mark.parametrize("operation", ["unbind", "forget"])
def test_an_address_does_not_pass_on_while_the_kernel_keeps_something(world, operation):
    world.share(ALICE)
    pair = world.connect(ALICE)
    world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    world.kernel.failures[operation] = errno.EBUSY
    world.home_agent.release(ALICE)
    assert not world.share(BOB, HOME[ALICE])
    assert HOME[ALICE] not in {world.home_agent.homes.home_of(who) for who in (ALICE, BOB)}
    del world.kernel.failures[operation]
    world.host.advance(1.0)
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.share(BOB, HOME[ALICE])


def expect(world: World, who: str) -> None:
    world.ike.expect(who, HOME[who], KEYS[who], CARE_OF[who])


def test_an_early_key_makes_sas_and_registers_nothing(world):
    expect(world, ALICE)
    pair = world.connect(ALICE)
    assert not world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    assert not world.share(BOB, HOME[ALICE])
    assert world.share(ALICE)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)


def test_an_early_key_that_is_withdrawn_leaves_nothing(world):
    expect(world, ALICE)
    assert world.connect(ALICE)
    world.ike.withdraw(ALICE, KEYS[ALICE])
    assert (world.kernel.sas, world.connect(ALICE)) == ({}, None)
    assert world.share(BOB, HOME[ALICE])


def test_an_early_key_that_is_withdrawn_leaves_what_was_there_before(world):
    world.share(ALICE)
    pair = world.connect(ALICE)
    world.ike.expect(ALICE, HOME[ALICE], b"another key", CARE_OF[ALICE])
    world.ike.withdraw(ALICE, b"another key")
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    assert world.connect(ALICE)


def test_a_session_ends_what_it_has_brought(world):
    world.ike.share(ALICE, HOME[ALICE], KEYS[ALICE], CARE_OF[ALICE], 600.0, session=1)
    world.ike.share(ALICE, HOME[ALICE], KEYS[ALICE], CARE_OF[ALICE], 600.0, session=2)
    assert world.connect(ALICE)
    world.home_agent.release_session(1)
    assert world.homes_with_sas() == {HOME[ALICE]}
    world.home_agent.release_session(2)
    assert world.homes_with_sas() == set()


def test_another_home_address_ends_what_there_was_for_the_first(world):
    world.share(ALICE)
    world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    assert world.share(ALICE, HOME[BOB])
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.bind(HOME[BOB], CARE_OF[ALICE], world.connect(ALICE, HOME[BOB]))


def test_ikev2_is_told_the_length_of_the_home_prefix():
    world = World(2)
    world.share(ALICE)
    assert world.home_agent.grant(ALICE).prefix_length == 56
    assert world.home_agent.grant(BOB) is None
