"""The IKE daemon with IKEv2: also the home address out of it, and EAP through it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any

from agents.core.host import Host
from agents.core.machine import Event
from agents.core.record import replace
from agents.eap.lower import EapPeerLike
from agents.ike.selectors import Selectors
from agents.ikev2 import Ikev2, events
from agents.ikev2.config import TIMING, TIMING_AUTH, Allocate, Credentials, Grant
from agents.nodes.crowd import USUAL, CrowdSettings
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.machine import IkeDaemon


class Ikev2Daemon(IkeDaemon):
    """An IkeDaemon that speaks IKEv2; `options` are those of its base.

    A responder with EAP has a certificate among its `credentials`, and its owner sets `on_eap`,
    `on_eap_ended`, and `on_gone` for when the last IKE SA of somebody whom the AAA server has
    authenticated is gone; one with pre-shared keys gives `allocate`. An initiator's owner sets
    `on_address`, and `on_expiring` for when SAs are to be made anew, beside those that end soon.
    """

    _machine: Ikev2

    def __init__(
        self,
        host: Host,
        local: IPv6Address,
        settings: Ikev2Settings,
        *,
        identity: str | None,
        credentials: Credentials | None = None,
        allocate: Allocate | None = None,
        asks_keys: bool = False,
        crowd: CrowdSettings = USUAL,
        **options: Any,
    ) -> None:
        self._allocates = allocate is not None
        self.on_address: Callable[[IPv6Address], None] = lambda _: None
        self.on_eap: Callable[[events.EapResponse], None] = lambda _: None
        self.on_eap_ended: Callable[[bytes], None] = lambda _: None
        self.on_gone: Callable[[str], None] = lambda _: None
        self.on_expiring: Callable[[], None] = lambda: None
        responder = credentials is not None and credentials.key is not None
        machine = Ikev2(
            rng=host.rng,
            local=local,
            config=replace(
                settings.config(identity, responder=responder),
                asks_keys=asks_keys,
                timing=replace(TIMING, initial=crowd.timeout),
                timing_auth=replace(TIMING_AUTH, initial=crowd.timeout),
                negotiation_timeout=crowd.ike_patience,
                half_open_limit=crowd.ike_half_open,
                half_open_limit_per_link=crowd.ike_half_open_per_link,
            ),
            credentials=credentials or Credentials(),
            allocate=allocate,
        )
        super().__init__(host, machine, **options)

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address | None,
    ) -> None:
        """Share a key with a peer, for SAs of this home address, or of what `allocate` grants."""
        if self._allocates:
            peer = home_address = None
        super().add_psk(psk, peer=peer, identity=identity, home_address=home_address)

    def initiate(
        self,
        home_agent: IPv6Address,
        home_address: IPv6Address | None,
        *,
        psk: bytes | None = None,
        eap: EapPeerLike | None = None,
    ) -> None:
        """Make SAs with the home agent; without a home address it is asked for."""
        self._sought = home_agent
        if psk is not None:
            self.add_psk(psk, peer=home_agent, identity=None, home_address=home_address)
        selectors, now = Selectors(home_address, home_agent), self._host.now()
        self._endpoint.call(self._machine.initiate, home_agent, selectors, now, eap=eap)

    def protect_discovery(self, home_agent: IPv6Address, home_address: IPv6Address) -> None:
        """Make SAs for prefix discovery, unless there are some (RFC 4877 section 7.2.3)."""
        selectors = Selectors.of_discovery(home_address, home_agent)
        if self._machine.connected(home_agent) and not self._machine.protects(
            home_agent, selectors
        ):
            self._endpoint.call(self._machine.initiate, home_agent, selectors, self._host.now())

    def renew(self, home_agent: IPv6Address, home_address: IPv6Address | None, psk: bytes) -> None:
        """Keep the key for the next IKE SA: the SAs that there are do not hang on it."""
        self.take_key(home_agent, home_address, psk)
        if not self.secured(home_agent):
            self.initiate(home_agent, home_address)

    def probe(self, home_agent: IPv6Address) -> None:
        """Ask the home agent whether it lives, and give the SAs up if it does not answer soon."""
        self._endpoint.call(self._machine.suspect, home_agent, self._host.now())

    def still_serves(self, home_agent: IPv6Address) -> bool:
        """Return whether there is an IKE SA still, though another one could not be made."""
        return self._machine.serves_peer(home_agent)

    def refuses_sas(self, home_agent: IPv6Address) -> bool:
        """Return whether there is an IKE SA to make SAs by, and none were made."""
        return self._machine.is_bare(home_agent)

    def rekey_ike(self, home_agent: IPv6Address) -> bool:
        """Replace the IKE SA; return whether there is one."""
        return self._endpoint.call(self._machine.rekey_ike, home_agent, self._host.now())

    def rekey_children(self, home_agent: IPv6Address) -> bool:
        """Replace the ESP SAs; return whether there are any."""
        return bool(self._endpoint.call(self._machine.rekey_children, home_agent, self._host.now()))

    # EAP, on its way to and from the AAA server

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

    # Events

    def _handle(self, event: Event) -> None:
        match event:
            case events.ChildEstablished():
                if not self._install(event.peer, event.pair):
                    spi = event.pair.inbound.spi
                    self._endpoint.call(self._machine.delete_child, spi, self._host.now())
            case events.ChildDeleted():
                self._uninstall(event.pair)
                if self._machine.connected(event.peer):
                    self._miss(event.peer, event.reason)
            case events.IkeEstablished():
                self._keys.ikev2(event)
            case events.IkeDeleted():
                self._miss_peer(event.identity)
                if event.peer == self._sought and not self._machine.connected(event.peer):
                    self._on_lost()
            case events.ReauthenticationDue() if event.peer == self._sought:
                self.on_expiring()
            case events.AddressAssigned() if event.home_address:
                self.on_address(event.home_address)
            case events.EapResponse():
                self.on_eap(event)
            case events.EapEnded():
                self.on_eap_ended(event.ike_spi)
                self._miss_peer(event.identity)
            case _:
                pass

    def _miss_peer(self, identity: str) -> None:
        """Tell that the last IKE SA of a peer is gone."""
        if identity and not self._machine.serves(identity):
            self.on_gone(identity)
