"""The IKE daemon of either side: SAs for the Mobility Header into the kernel.

As a program it is what the launch scripts start.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.machine import Event
from agents.ike.esp import EspPair
from agents.ikev1 import events
from agents.ikev1.config import Selectors
from agents.ikev1.ikev1 import Ikev1
from agents.kernel.linux import AcquireWatch
from agents.kernel.port import KernelError, SecurityAssociations
from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.shell.datagrams import DatagramEndpoint
from agents.shell.keylog import KeyLog

PORT = 500


class IkeService:
    """An IKEv1 endpoint on UDP port 500 that keeps the kernel's SAs as negotiated."""

    def __init__(
        self,
        local: IPv6Address,
        settings: IkeSettings,
        *,
        identity: str | None,
        kernel: SecurityAssociations,
        keys: KeyLog,
        log: EventLog,
        on_failure: Callable[[str], None] | None = None,
        habits: Habits | None = None,
    ) -> None:
        self._habits = habits or Habits()
        self._demand: _Demand | None = None
        self._kernel = kernel
        self._keys = keys
        self._log = log
        self._on_failure = on_failure
        self._keyed: set[int] = set()
        self._waiting: dict[int, asyncio.Handle] = {}
        self._established: set[IPv6Address] = set()
        self._poll: asyncio.TimerHandle | None = None
        rng = random.SystemRandom()
        self._machine = Ikev1(rng=rng, local=local, config=settings.config(identity))
        self._endpoint = DatagramEndpoint(self._machine, (str(local), PORT), self._handle)

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address,
    ) -> None:
        """Share a key with a peer, for SAs of this home address alone."""
        self._machine.add_psk(psk, peer=peer, identity=identity, home_address=home_address)

    def remove_psk(self, identity: str) -> None:
        """Forget the key of a peer; SAs made with it stay until `delete_identity`."""
        self._machine.remove_psk(identity=identity)

    def delete_identity(self, identity: str) -> None:
        """Delete the SAs of a peer: they are out of the kernel when this returns."""
        driver = self._endpoint.driver
        driver.call(self._machine.delete_identity, identity, driver.now())

    def initiate(self, home_agent: IPv6Address, home_address: IPv6Address) -> None:
        """Make SAs with the home agent for Mobility Headers between the two addresses.

        If the kernel's ACQUIRE is the trigger, IKE waits for it.
        """
        selectors = Selectors(home_address, home_agent)
        if self._habits.ike_trigger == "handover":
            self._start(home_agent, selectors)
            return
        if self._demand:
            self._demand.close()
        self._demand = _Demand(selectors, lambda: self._start(home_agent, selectors))

    def _start(self, home_agent: IPv6Address, selectors: Selectors) -> None:
        self._stop_looking()
        if self._demand:
            self._demand.busy = True
        driver, poll = self._endpoint.driver, self._habits.phase1_poll
        driver.call(self._machine.initiate, home_agent, None if poll else selectors, driver.now())
        if poll:
            self._look_later(home_agent, selectors)

    def _look_later(self, home_agent: IPv6Address, selectors: Selectors) -> None:
        """Look for phase 1 in a while; this ends with the negotiation, which has its deadline."""
        poll = self._habits.phase1_poll
        loop = asyncio.get_running_loop()
        self._poll = loop.call_later(poll, self._look, home_agent, selectors)

    def _look(self, home_agent: IPv6Address, selectors: Selectors) -> None:
        driver = self._endpoint.driver
        if home_agent in self._established:
            driver.call(self._machine.initiate, home_agent, selectors, driver.now())
        else:
            self._look_later(home_agent, selectors)

    def _stop_looking(self) -> None:
        if self._poll:
            self._poll.cancel()
            self._poll = None

    def _idle(self) -> None:
        """The negotiation is over: the next ACQUIRE starts another."""
        self._stop_looking()
        if self._demand:
            self._demand.busy = False

    def renew(self, home_agent: IPv6Address, home_address: IPv6Address) -> None:
        """Start afresh with the key that the home agent shares now: both kinds of SA are new."""
        driver = self._endpoint.driver
        driver.call(self._machine.delete, home_agent, driver.now())
        self._start(home_agent, Selectors(home_address, home_agent))

    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on; ESP SAs stay."""
        self._endpoint.close()
        self._established.clear()
        self._machine.local = local
        self._endpoint = DatagramEndpoint(self._machine, (str(local), PORT), self._handle)

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case events.ChildKeyed():
                self._keyed.add(event.pair.inbound.spi)
                self._install(event.pair)
            case events.ChildEstablished() if event.pair.inbound.spi not in self._keyed:
                # Message 3 leaves first: what the SA protects must not overtake it.
                soon = asyncio.get_running_loop().call_soon(self._install, event.pair)
                self._waiting[event.pair.inbound.spi] = soon
                self._idle()
            case events.ChildAbandoned() | events.ChildDeleted():
                self._uninstall(event.pair)
            case events.Phase1Established():
                self._established.add(event.peer)
                self._keys.ikev1(event.initiator_cookie, event.encryption_key)
            case events.Phase1Deleted():
                self._established.discard(event.peer)
            case events.Failed():
                self._idle()
                if self._on_failure:
                    self._on_failure(f"IKE with {event.peer}: {event.reason}")
            case _:
                pass

    def _install(self, pair: EspPair) -> None:
        self._waiting.pop(pair.inbound.spi, None)
        self._kernel.install(pair)
        self._keys.esp(pair)

    def _uninstall(self, pair: EspPair) -> None:
        spi = pair.inbound.spi
        self._keyed.discard(spi)
        if soon := self._waiting.pop(spi, None):
            soon.cancel()
        try:
            self._kernel.uninstall(pair)
        except KernelError as error:  # The others are to go all the same.
            self._log.write("KernelFailed", reason=str(error))

    def close(self) -> None:
        """Close the sockets."""
        self._stop_looking()
        if self._demand:
            self._demand.close()
        self._endpoint.close()


class _Demand:
    """Waits for the kernel to want an SA; `busy` while IKE is making it."""

    def __init__(self, selectors: Selectors, start: Callable[[], None]) -> None:
        self._selectors = selectors
        self._start = start
        self._watch = AcquireWatch()
        self.busy = False
        asyncio.get_running_loop().add_reader(self._watch, self._readable)

    def _readable(self) -> None:
        ends = self._selectors[:2]
        wanted = any((sa.source, sa.destination) == ends for sa in self._watch.wanted())
        if wanted and not self.busy:
            self._start()

    def close(self) -> None:
        """Stop waiting."""
        asyncio.get_running_loop().remove_reader(self._watch)
        self._watch.close()
