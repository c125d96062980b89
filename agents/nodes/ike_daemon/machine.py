"""The IKE daemon of either side and either version: SAs for the Mobility Header into the kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address
from typing import Protocol

from agents.core.eventlog import EventLog
from agents.core.host import DatagramEndpoint, Host
from agents.core.machine import Event, Machine
from agents.ike import events
from agents.ike.constants import PORT
from agents.ike.esp import EspPair
from agents.ike.psk import PskEntry
from agents.kernel.port import KernelError, SecurityAssociations
from agents.nodes.ike_daemon.contract import Initiator, Responder
from agents.nodes.keylog import KeyLog


class IkeMachine(Machine, Protocol):
    """What a daemon asks of either version's machine."""

    local: IPv6Address

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address | None,
    ) -> None:
        """Take the key of a peer."""

    def remove_psk(self, *, identity: str | None) -> None:
        """Forget the key of a peer."""

    def give_key(self, spi: bytes, entry: PskEntry | None, now: float) -> None:
        """Answer `KeyWanted`."""

    def serves(self, identity: str) -> bool:
        """Return whether there is any IKE SA, or with IKEv1 any SA, with whom was so called."""

    def delete_identity(self, identity: str, now: float) -> None:
        """Delete what was made with whom was authenticated so."""

    def delete(self, peer: IPv6Address, now: float) -> None:
        """Delete what there is with a peer: ESP SAs are gone when this returns."""

    def prepare(self) -> None:
        """Do ahead of need what the next negotiation would take most of its time for."""

    def connected(self, peer: IPv6Address) -> bool:
        """Return whether an IKE SA with a peer is up, or is being made."""

    def secured(self, peer: IPv6Address) -> bool:
        """Return whether there are ESP SAs with a peer, or some are being made."""


class IkeDaemon(Initiator, Responder, ABC):
    """IKE on UDP port 500 as soon as it is opened; the kernel's SAs are kept as negotiated.

    `on_failure` hears why this host has no SAs with the peer that it wants some with, `on_lost`
    that all with that one are gone, of which it was told or not. A responder's owner sets
    `on_key_wanted` if it is asked for keys, and `on_removed` to hear of ESP SAs that are gone.
    """

    def __init__(
        self,
        host: Host,
        machine: IkeMachine,
        *,
        kernel: SecurityAssociations,
        keys: KeyLog,
        log: EventLog,
        on_failure: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._host = host
        self._machine = machine
        self._kernel = kernel
        self._keys = keys
        self._log = log
        self._on_failure = on_failure
        self._on_lost = on_lost
        self.on_key_wanted: Callable[[events.KeyWanted], None] = lambda _: None
        self.on_removed: Callable[[EspPair], None] = lambda _: None
        self._sought: IPv6Address | None = None
        """With whom this host makes SAs."""

        opened = partial(host.open_datagrams, (str(machine.local), PORT))
        self._endpoint = DatagramEndpoint(host, machine, self._take, opened)
        machine.prepare()

    def open(self) -> None:
        """Open the socket, if that is not done yet; raises OSError if it is not to be had."""
        self._endpoint.open()

    # Keys

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address | None,
    ) -> None:
        """Share a key with a peer, for SAs of this home address alone."""
        self._machine.add_psk(psk, peer=peer, identity=identity, home_address=home_address)

    def remove_psk(self, identity: str) -> None:
        """Forget the key of a peer; SAs made with it stay until `delete_identity`."""
        self._machine.remove_psk(identity=identity)

    def give_key(self, spi: bytes, entry: PskEntry | None) -> None:
        """Go on with a peer that waits for its key, or refuse it if there is none."""
        self._endpoint.call(self._machine.give_key, spi, entry, self._host.now())

    def serves(self, identity: str) -> bool:
        """Return whether there is any IKE SA, or with IKEv1 any SA, with somebody."""
        return self._machine.serves(identity)

    def delete_identity(self, identity: str) -> None:
        """Delete the SAs of a peer: ESP SAs are out of the kernel when this returns."""
        self._endpoint.call(self._machine.delete_identity, identity, self._host.now())

    # The initiator

    def leave(self, home_agent: IPv6Address) -> None:
        """Want no SAs with a home agent: ESP SAs are out of the kernel when this returns."""
        if home_agent == self._sought:
            self._sought = None
        self._endpoint.call(self._machine.delete, home_agent, self._host.now())

    def secured(self, home_agent: IPv6Address) -> bool:
        """Return whether there are ESP SAs, or some are being made, for the present address."""
        return self._machine.secured(home_agent)

    def take_key(
        self, home_agent: IPv6Address, home_address: IPv6Address | None, psk: bytes
    ) -> None:
        """Have another key for the next negotiation; the SAs that there are stay."""
        self.add_psk(psk, peer=home_agent, identity=None, home_address=home_address)

    def settled(self, _: IPv6Address) -> bool:
        """Return whether the home agent has the SAs too: these are installed no sooner."""
        return True

    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on; ESP SAs stay until there are others."""
        if local != self._machine.local:
            self._endpoint.rebind(partial(self._host.open_datagrams, (str(local), PORT)))
            self._machine.local = local

    # Events

    def _take(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, events.KeyWanted):
            self.on_key_wanted(event)
            return
        self._handle(event)
        if isinstance(event, events.Failed) and self._is_setback(event.peer):
            self._on_failure(f"IKE with {event.peer}: {event.reason}")

    def _is_setback(self, peer: IPv6Address) -> bool:
        """Return whether there are no SAs now: anybody may begin a negotiation that fails."""
        return peer == self._sought and not self._machine.secured(peer)

    @abstractmethod
    def _handle(self, event: Event) -> None:
        """Act on an event."""

    def _miss(self, peer: IPv6Address, reason: str) -> None:
        """Tell of it if there are no ESP SAs with a peer any more, and none are being made."""
        if self._machine.secured(peer):
            return
        if self._machine.connected(peer):
            self._on_failure(f"IKE with {peer}: no ESP SAs are left: {reason}")
        elif peer == self._sought:
            self._on_lost()

    def _install(self, peer: IPv6Address, pair: EspPair) -> bool:
        """Hand a pair to the kernel; return whether this takes it."""
        self._host.before_sending()  # Others watch the kernel.
        try:
            self._kernel.install(pair)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))
            self._on_failure(f"IKE with {peer}: the kernel does not take the SAs: {error}")
            return False
        self._keys.esp(pair)
        self._host.when_idle(self._machine.prepare)
        return True

    def _uninstall(self, pair: EspPair) -> None:
        try:
            self._kernel.uninstall(pair)
        except KernelError as error:  # The others are to go all the same.
            self._log.write("KernelFailed", reason=str(error))
        self.on_removed(pair)

    def close(self) -> None:
        """Close the socket."""
        self._endpoint.close()
