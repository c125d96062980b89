"""The IKE daemon of either side: SAs for the Mobility Header into the kernel.

As a program it is what the launch scripts start.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Closable, Host
from agents.core.machine import Event
from agents.ike.constants import PORT
from agents.ike.esp import EspPair
from agents.ike.selectors import Selectors
from agents.ikev1 import events
from agents.ikev1.ikev1 import Ikev1
from agents.kernel.port import KernelError, SecurityAssociations
from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog


class Ikev1Daemon:
    """An IKEv1 endpoint on UDP port 500 that keeps the kernel's SAs as negotiated."""

    def __init__(
        self,
        host: Host,
        local: IPv6Address,
        settings: Ikev1Settings,
        *,
        identity: str | None,
        kernel: SecurityAssociations,
        keys: KeyLog,
        log: EventLog,
        on_failure: Callable[[str], None] | None = None,
        habits: Habits | None = None,
    ) -> None:
        self._habits = habits or Habits()
        self._host = host
        self._demand: Closable | None = None
        self._busy = False
        self._kernel = kernel
        self._keys = keys
        self._log = log
        self._on_failure = on_failure
        self._keyed: set[int] = set()
        self._waiting: set[int] = set()
        self._established: set[IPv6Address] = set()
        self._poll = host.timer(self._look)
        self._negotiating: tuple[IPv6Address, Selectors] | None = None
        self._machine = Ikev1(rng=host.rng, local=local, config=settings.config(identity))
        self._endpoint = host.datagrams(self._machine, (str(local), PORT), self._handle)

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
        self._endpoint.call(self._machine.delete_identity, identity, self._host.now())

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

        def wanted(source: IPv6Address, destination: IPv6Address) -> None:
            if (source, destination) == selectors[:2] and not self._busy:
                self._start(home_agent, selectors)

        self._demand = self._host.watch_acquires(wanted)

    def _start(self, home_agent: IPv6Address, selectors: Selectors) -> None:
        self._busy = True
        poll, now = self._habits.phase1_poll, self._host.now()
        self._endpoint.call(self._machine.initiate, home_agent, None if poll else selectors, now)
        if poll:
            self._negotiating = home_agent, selectors
            self._poll.start(poll)

    def _look(self) -> None:
        """Look for phase 1, and in a while again: this ends with the negotiation."""
        if self._negotiating is None:
            return
        home_agent, selectors = self._negotiating
        if home_agent in self._established:
            self._endpoint.call(self._machine.initiate, home_agent, selectors, self._host.now())
        else:
            self._poll.start(self._habits.phase1_poll)

    def _idle(self) -> None:
        """The negotiation is over: the next ACQUIRE starts another."""
        self._poll.stop()
        self._busy = False

    def renew(self, home_agent: IPv6Address, home_address: IPv6Address) -> None:
        """Start afresh with the key that the home agent shares now: both kinds of SA are new."""
        self._endpoint.call(self._machine.delete, home_agent, self._host.now())
        self._start(home_agent, Selectors(home_address, home_agent))

    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on; ESP SAs stay."""
        if local != self._machine.local:
            self._endpoint.rebind(partial(self._host.open_datagrams, (str(local), PORT)))
        self._established.clear()
        self._machine.local = local

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case events.ChildKeyed():
                self._keyed.add(event.pair.inbound.spi)
                self._install(event.pair)
            case events.ChildEstablished() if event.pair.inbound.spi not in self._keyed:
                # Message 3 leaves first: what the SA protects must not overtake it.
                self._waiting.add(event.pair.inbound.spi)
                self._host.later(partial(self._install_if_wanted, event.pair))
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
                self._fail(f"IKE with {event.peer}: {event.reason}")
            case _:
                pass

    def _install_if_wanted(self, pair: EspPair) -> None:
        """Install a pair, unless it has been deleted meanwhile."""
        if pair.inbound.spi in self._waiting:
            self._waiting.discard(pair.inbound.spi)
            self._install(pair)

    def _install(self, pair: EspPair) -> None:
        """Hand a pair to the kernel, which may refuse it."""
        try:
            self._kernel.install(pair)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))
            self._fail(f"the kernel does not take the SAs: {error}")
            return
        self._keys.esp(pair)

    def _fail(self, reason: str) -> None:
        if self._on_failure:
            self._on_failure(reason)

    def _uninstall(self, pair: EspPair) -> None:
        spi = pair.inbound.spi
        self._keyed.discard(spi)
        self._waiting.discard(spi)
        try:
            self._kernel.uninstall(pair)
        except KernelError as error:  # The others are to go all the same.
            self._log.write("KernelFailed", reason=str(error))

    def close(self) -> None:
        """Close the sockets."""
        self._poll.close()
        if self._demand:
            self._demand.close()
        self._endpoint.close()
