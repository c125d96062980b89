"""IKEv2 of either side: SAs for the Mobility Header into the kernel, the home address out of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Event
from agents.eap.lower import EapPeerLike
from agents.ike.constants import PORT
from agents.ike.esp import EspPair
from agents.ike.selectors import Selectors
from agents.ikev2 import Ikev2, events
from agents.ikev2.config import (
    Allocate,
    Grant,
)
from agents.kernel.port import KernelError, SecurityAssociations
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.keylog import KeyLog
from agents.nodes.tls import TlsSettings


class Ikev2Daemon:
    """An IKEv2 endpoint on UDP port 500 that keeps the kernel's SAs as negotiated.

    A responder with EAP gives its `certificate`, and its owner sets `on_eap`, `on_eap_ended`, and
    `on_gone` for when the last IKE SA of somebody whom the AAA server has authenticated is gone;
    one with pre-shared keys gives `allocate`. An initiator's owner sets `on_address`, and `on_lost`
    for when the last IKE SA with a peer is gone; that an IKE SA is left without ESP SAs is a
    failure.
    """

    def __init__(
        self,
        host: Host,
        local: IPv6Address,
        settings: Ikev2Settings,
        *,
        identity: str | None,
        kernel: SecurityAssociations,
        keys: KeyLog,
        log: EventLog,
        trusted: TlsSettings | None = None,
        certificate: TlsSettings | None = None,
        allocate: Allocate | None = None,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self._host = host
        self._kernel = kernel
        self._keys = keys
        self._log = log
        self._on_failure = on_failure
        self.on_lost: Callable[[], None] | None = None
        self.on_address: Callable[[IPv6Address], None] | None = None
        self.on_eap: Callable[[events.EapResponse], None] | None = None
        self.on_eap_ended: Callable[[bytes], None] | None = None
        self.on_gone: Callable[[str], None] | None = None
        self._machine = Ikev2(
            rng=host.rng,
            local=local,
            config=settings.config(identity, responder=certificate is not None),
            credentials=read_credentials(certificate or trusted, own=certificate is not None),
            allocate=allocate,
        )
        self._endpoint = host.datagrams(self._machine, (str(local), PORT), self._handle)

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address | None,
    ) -> None:
        """Share a key with a peer, for SAs of this home address alone.

        Without one a responder asks `allocate`.
        """
        self._machine.add_psk(psk, peer=peer, identity=identity, home_address=home_address)

    def remove_psk(self, identity: str) -> None:
        """Forget the key of a peer; SAs made with it stay until `delete_identity`."""
        self._machine.remove_psk(identity=identity)

    def delete_identity(self, identity: str) -> None:
        """Delete the SAs of a peer: ESP SAs are out of the kernel when this returns."""
        self._endpoint.call(self._machine.delete_identity, identity, self._host.now())

    def initiate(
        self,
        home_agent: IPv6Address,
        home_address: IPv6Address | None,
        *,
        psk: bytes | None = None,
        eap: EapPeerLike | None = None,
    ) -> None:
        """Start IKE for Mobility Headers; without a home address it is asked for."""
        if psk is not None:
            self.add_psk(psk, peer=home_agent, identity=None, home_address=home_address)
        selectors = Selectors(home_address, home_agent)
        self._endpoint.call(
            self._machine.initiate, home_agent, selectors, self._host.now(), eap=eap
        )

    def secured(self, home_agent: IPv6Address) -> bool:
        """Return whether there are ESP SAs, or some are being made, from the present address."""
        return self._machine.secured(home_agent)

    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on; what there is stays until that is done."""
        if local != self._machine.local:
            self._endpoint.rebind(partial(self._host.open_datagrams, (str(local), PORT)))
        self._machine.local = local

    def probe(self, home_agent: IPv6Address) -> None:
        """Find out whether the home agent still has the IKE SA."""
        self.rekey_ike(home_agent)

    def rekey_ike(self, home_agent: IPv6Address) -> bool:
        """Replace the IKE SA; return whether there is one."""
        return self._endpoint.call(self._machine.rekey_ike, home_agent, self._host.now())

    def rekey_children(self, home_agent: IPv6Address) -> bool:
        """Replace the ESP SAs; return whether there are any."""
        return bool(self._endpoint.call(self._machine.rekey_children, home_agent, self._host.now()))

    def awaits_eap(self, ike_spi: bytes) -> bool:
        """Return whether a peer waits for the AAA server's word, and is not gone meanwhile."""
        return self._machine.awaits_eap(ike_spi)

    def eap_request(self, ike_spi: bytes, packet: bytes) -> None:
        """Pass on the AAA server's EAP request."""
        self._endpoint.call(self._machine.eap_request, ike_spi, packet, self._host.now())

    def eap_success(
        self,
        ike_spi: bytes,
        packet: bytes,
        msk: bytes,
        *,
        identity: str,
        grant: Grant,
        lifetime: float | None,
    ) -> None:
        """Pass on EAP-Success and use its key.

        The peer is whom the AAA server says, and may have SAs for what is granted, so many seconds
        long.
        """
        self._endpoint.call(
            self._machine.eap_success,
            ike_spi,
            packet,
            msk,
            self._host.now(),
            identity=identity,
            grant=grant,
            lifetime=lifetime,
        )

    def eap_failure(self, ike_spi: bytes, packet: bytes | None) -> None:
        """Pass on EAP-Failure, or make one."""
        self._endpoint.call(self._machine.eap_failure, ike_spi, packet, self._host.now())

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case events.ChildEstablished():
                self._install(event)
            case events.ChildDeleted():
                self._uninstall(event.pair)
                self._miss(event)
            case events.IkeEstablished():
                self._keys.ikev2(event)
            case events.IkeDeleted() if self.on_gone:
                self._miss_peer(event.identity)
            case events.IkeDeleted() if self.on_lost and not self._machine.connected(event.peer):
                self.on_lost()
            case events.AddressAssigned() if event.home_address and self.on_address:
                self.on_address(event.home_address)
            case events.EapResponse() if self.on_eap:
                self.on_eap(event)
            case events.EapEnded() if self.on_eap_ended:
                self.on_eap_ended(event.ike_spi)
                self._miss_peer(event.identity)
            case events.Failed() if self._on_failure:
                self._on_failure(f"IKE with {event.peer}: {event.reason}")
            case _:
                pass

    def _miss_peer(self, identity: str) -> None:
        """Tell that the last IKE SA of a peer is gone."""
        if self.on_gone and identity and not self._machine.serves(identity):
            self.on_gone(identity)

    def _miss(self, event: events.ChildDeleted) -> None:
        """Tell of the end of the last ESP SAs with a peer, if its IKE SA lives on without them."""
        machine, peer = self._machine, event.peer
        if self._on_failure and machine.connected(peer) and not machine.secured(peer):
            self._on_failure(f"IKE with {peer}: no ESP SAs are left: {event.reason}")

    def _install(self, event: events.ChildEstablished) -> None:
        """Hand a pair to the kernel; the peer is told to forget one that it does not take."""
        try:
            self._kernel.install(event.pair)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))
            self._endpoint.call(
                self._machine.delete_child, event.pair.inbound.spi, self._host.now()
            )
            if self._on_failure:
                self._on_failure(f"IKE with {event.peer}: {error}")
            return
        self._keys.esp(event.pair)

    def _uninstall(self, pair: EspPair) -> None:
        try:
            self._kernel.uninstall(pair)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))

    def close(self) -> None:
        """Close the socket."""
        self._endpoint.close()
