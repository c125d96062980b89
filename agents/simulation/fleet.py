"""Many mobile nodes on the virtual clock: each has its host made when it begins, not before."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import TypeAlias

import msgspec

from agents import approaches
from agents.approaches.cast import HOME_AAA, numbered
from agents.core.documents import fit
from agents.core.eventlog import EventLog, RoleEvent
from agents.core.machine import Discarded, Event
from agents.core.record import replace
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.eap import EapPeers
from agents.nodes.mobile_node.main import credentials
from agents.nodes.mobile_node.settings import EapSettings, MobileNodeConfiguration
from agents.simulation import public_keys
from agents.simulation.laboratory import Laboratory, Provision
from agents.simulation.stack import Interface, Stack
from topologies.model import Link, autoconfigured, link_local_of, numbered_mac

MODULE = "agents.nodes.mobile_node.main"
Take: TypeAlias = Callable[[str, str, str, int, object], None]
"""Hears of an event: host, agent, name, nanoseconds, and the event or the role's fields."""


class Teller(EventLog):
    """An event log that writes nothing: it tells of events as they are."""

    def __init__(self, host: str, agent: str, take: Take, clock: Callable[[], int]) -> None:
        self._host = host
        self._agent = agent
        self._take = take
        self.clock = clock

    def child(self, agent: str) -> EventLog:
        """Return a log for another agent in the same host."""
        return Teller(self._host, agent, self._take, self.clock)

    def __call__(self, event: Event) -> None:
        """Tell of a machine's event; of what was discarded nothing is told."""
        if not isinstance(event, Discarded):
            self._take(self._host, self._agent, type(event).__name__, self.clock(), event)

    def write(self, event: RoleEvent, **fields: object) -> None:
        """Tell of an event of the role itself."""
        self._take(self._host, self._agent, event, self.clock(), fields)


class Newcomers:
    """Makes mobile nodes by number from 1, as those of one small network but for their names.

    Their `identity` is this one with their number in it.
    `samples` are as many as there are access routers, and behind each of them in turn.
    `joined` hears of each host that is on its link, before anything is sent there.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        samples: Sequence[MobileNodeConfiguration],
        identity: str,
        log: Callable[[Laboratory, str], EventLog],
        joined: Callable[[Stack], None],
    ) -> None:
        self._laboratory = laboratory
        self._samples = samples
        self._identity = identity
        self._log = log
        self._joined = joined
        topology = laboratory.topology
        self._links = [topology.at(sample.host)[0][0] for sample in samples]
        self._kinds = [topology.links.index(link) for link in self._links]

    def begin(self, number: int) -> None:
        """Start a mobile node in a host of its own."""
        turn, laboratory = (number - 1) % len(self._samples), self._laboratory
        sample, link = self._samples[turn], self._links[turn]
        host, identity = numbered("MN", number), numbered(self._identity, number)
        tls = msgspec.structs.replace(
            sample.eap.tls,
            certificate=sample.eap.tls.certificate.replace(sample.host, host),
            key=sample.eap.tls.key.replace(sample.host, host),
        )
        eap = msgspec.structs.replace(sample.eap, identity=identity, tls=tls)
        configuration = msgspec.structs.replace(sample, host=host, eap=eap)
        stack = laboratory.stacks[host] = Stack(laboratory.world, host)
        care_of = self._join(stack, link, turn, number, sample.interface)
        self._joined(stack)
        log = self._log(laboratory, host)
        role = approaches.Program(host, MODULE, {})
        program, node = laboratory.mobile_node_in(stack, configuration, care_of, log, role)
        program.enter(node.start)

    def _join(self, stack: Stack, link: Link, turn: int, number: int, name: str) -> IPv6Address:
        """Join a host to its access link; return the address that it makes for itself there."""
        router = next(end for end in link.ends if end.advertise)
        prefix = router.advertise
        assert prefix is not None  # noqa: S101
        end = 1 + (number - 1) // len(self._samples)
        mac = bytes.fromhex(numbered_mac(self._kinds[turn], end).replace(":", ""))
        own = link_local_of(mac)
        care_of = autoconfigured(prefix, own)
        stack.routes.add(IPv6Network("::/0"), router.address)
        Interface(
            stack,
            name,
            self._laboratory.links[link.name],
            (own, care_of),
            (prefix,),
            mac,
        )
        return care_of


def without_public_keys(
    provision: Provision,
    sample: MobileNodeConfiguration,
    home_aaa: approaches.Program,
    rng: random.Random,
    lengths: public_keys.Flights | None = None,
) -> Provision:
    """Return hosts with a model of EAP-TLS, with flights as long as those of the sample's would be.

    They are measured, unless `lengths` tells them. What mobile nodes trust is read once for all.
    """
    if lengths is None:
        tls = sample.eap.tls.arguments()
        server = fit(home_aaa.configuration, HomeNetworkConfiguration).tls.arguments()
        lengths = public_keys.flights(
            tls["ca"], server["certificate"], server["key"], tls["certificate"], tls["key"]
        )
    trusted = credentials(sample)

    def eap_peers(settings: EapSettings, keys: KeyLog) -> EapPeers:
        make = partial(
            public_keys.ModelClientConfig, own=settings.identity, lengths=lengths, rng=rng
        )
        return EapPeers(settings, keys, make)

    return replace(
        provision,
        eap_peers=eap_peers,
        server_tls=partial(public_keys.ModelServerConfig, own=HOME_AAA, lengths=lengths, rng=rng),
        credentials=lambda _: trusted,
    )
