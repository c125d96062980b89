"""IKEv2 of one host: both roles, many peers (RFC 7296, RFC 4877, RFC 5026)."""

from __future__ import annotations

import random
from collections import deque
from ipaddress import IPv6Address

from agents.core.machine import Address, Event, PeerError
from agents.core.reader import WireError
from agents.eap.lower import EapPeerLike
from agents.ike.half_open import MAX_UNPROVEN
from agents.ike.psk import PskEntry
from agents.ike.selectors import Selectors
from agents.ikev2 import events
from agents.ikev2.config import Allocate, Config, Credentials, Grant
from agents.ikev2.constants import Exchange, NotifyType, PayloadType
from agents.ikev2.deadlines import Deadlines
from agents.ikev2.grammar import Contents
from agents.ikev2.ike_auth_initiator import Initiator
from agents.ikev2.ike_auth_responder import Responder
from agents.ikev2.ike_sa_manager import Host
from agents.ikev2.payloads import Notification
from agents.ikev2.sa import (
    Closed,
    DeleteChildren,
    DeleteIke,
    Established,
    HalfOpen,
    IkeSa,
    Initial,
    InitSent,
    Intent,
    MakeChild,
    Method,
    RekeyIke,
)
from agents.ikev2.sealing import NotAuthenticError
from agents.ikev2.task_manager import Exchanges
from agents.ikev2.wire import LaterVersionError, Message, split_datagram


class Ikev2:
    """An IKEv2 endpoint without I/O; its datagrams go over UDP port 500.

    IKE runs between `local` and the peer's address, on a mobile node its care-of address and the
    home agent's; the SAs are for the selectors, home address and home agent (RFC 4877 section 7).
    Every negotiation ends with an event of success or with `Failed`. `allocate` is asked which
    home address an authenticated peer may have, unless its pre-shared key or the AAA says so.
    """

    outbox: deque[tuple[bytes, Address]]
    events: deque[Event]

    def __init__(
        self,
        *,
        rng: random.Random,
        local: IPv6Address,
        config: Config | None = None,
        credentials: Credentials | None = None,
        allocate: Allocate | None = None,
    ) -> None:
        credentials = credentials or Credentials()
        self._host = Host(rng, local, config or Config(), credentials, allocate)
        self.outbox = self._host.outbox
        self.events = self._host.events
        self._exchanges = Exchanges(self._host)
        self._deadlines = Deadlines(self._host, self._exchanges)
        self._initiator = Initiator(self._host, self._exchanges.pump)
        self._responder = Responder(self._host, self._exchanges.pump)

    @property
    def local(self) -> IPv6Address:
        """The address that IKE runs from.

        With a new one, new negotiations start from it; IKE SAs of the old one are not used for
        new requests (there is no MOBIKE), but deleted with their ESP SAs as soon as there is one
        from the new address (RFC 4877 section 7.4).
        """
        return self._host.local

    @local.setter
    def local(self, address: IPv6Address) -> None:
        self._host.local = address

    # Whom to trust.

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None = None,
        identity: str | None = None,
        home_address: IPv6Address | None = None,
    ) -> None:
        """Take the key of a peer, known by its address, its identity or both.

        Whatever its holder claims, it is authenticated as `identity`, without one as `peer`.
        `home_address` is the only one that this peer may have SAs for, and is assigned to it if
        it asks for one; without it, `allocate` decides.
        """
        self._host.psks.add(PskEntry(psk, peer, identity, home_address))

    def remove_psk(self, *, peer: IPv6Address | None = None, identity: str | None = None) -> None:
        """Forget a key; SAs that were made with it stay until `delete` or `delete_identity`."""
        self._host.psks.remove(peer, identity)

    # What the owner wants.

    def initiate(
        self,
        peer: IPv6Address,
        selectors: Selectors,
        now: float,
        *,
        eap: EapPeerLike | None = None,
        remote_identity: str | None = None,
    ) -> None:
        """Make SAs for `selectors` with a peer, over the IKE SA that is up or a new one.

        A new one is authenticated by `eap` if given, else by the pre-shared key for the peer's
        address, else by certificate. Unless a pre-shared key is used, the peer's certificate must
        name `remote_identity`, without one the peer's address. Selectors without a local address
        have the peer assign one; that needs a new IKE SA.
        """
        selectors = Selectors(*selectors)
        running = self._running(peer)
        if running is not None and selectors.local is not None:
            self._exchanges.ask(running, MakeChild(selectors), now)
            return
        known = [] if eap is not None else self._host.psks.by_address(peer)
        psk = known[0] if known else None
        if eap is not None:
            method = Method.EAP
        elif psk is not None:
            method = Method.PSK
        elif self._host.credentials.key is not None:
            method = Method.CERTIFICATE
        else:
            reason = f"no pre-shared key for {peer}, no certificate, no EAP"
            self._host.events.append(events.Failed(now, peer, reason, selectors))
            return
        self._initiator.start(peer, Intent(selectors, method, psk, eap, remote_identity), now)

    def connected(self, peer: IPv6Address) -> bool:
        """Return whether an IKE SA with a peer is up, or the local host is making one."""
        return self._running(peer) is not None

    def serves(self, identity: str) -> bool:
        """Return whether there is an IKE SA with whom was authenticated as `identity`."""
        return any(not isinstance(sa.state, Closed) for sa in self._host.of_identity(identity))

    def secured(self, peer: IPv6Address) -> bool:
        """Return whether there are CHILD SAs with a peer, or the local host is making some.

        Those of an earlier local address do not count.
        """
        there = (s for s in self._host.of_peer(peer) if s.local == self._host.local)
        return any(s.children or s.wanted for s in there)

    def _running(self, peer: IPv6Address) -> IkeSa | None:
        """Return an IKE SA with a peer that is up, or that the local host is making."""
        making = (
            s
            for s in self._host.of_peer(peer)
            if s.intent is not None
            and s.local == self._host.local
            and not isinstance(s.state, Established)
        )
        return self._host.established(peer) or next(making, None)

    def rekey_ike(self, peer: IPv6Address, now: float) -> bool:
        """Replace the IKE SA with a peer now; return whether there is one."""
        sa = self._host.established(peer)
        if sa is not None:
            self._exchanges.ask(sa, RekeyIke(), now)
        return sa is not None

    def rekey_children(self, peer: IPv6Address, now: float) -> int:
        """Replace the CHILD SAs with a peer now; return how many there are."""
        children = [c for sa in self._host.of_peer(peer) for c in sa.children.values()]
        for child in children:
            self._exchanges.replace(child, now)
        return len(children)

    def delete(self, peer: IPv6Address, now: float, selectors: Selectors | None = None) -> None:
        """Delete the SAs with a peer; without `selectors` the IKE SAs too.

        SAs are gone when the peer has answered or is found not to answer. Negotiations that run
        end as failed at once when no selectors are given.
        """
        for sa in self._host.of_peer(peer):
            if selectors is not None:
                doomed = tuple(c for c in sa.children.values() if c.selectors == selectors)
                if doomed:
                    self._exchanges.ask(sa, DeleteChildren(doomed, "deleted"), now)
            elif not isinstance(sa.state, Established):
                self._host.close(sa, "deleted", now)
            else:
                self._exchanges.ask(sa, DeleteIke("deleted"), now)

    def delete_child(self, spi: int, now: float) -> None:
        """Delete the pair of ESP SAs with this inbound SPI, if there is one."""
        if (child := self._host.children.get(spi)) is not None:
            self._exchanges.ask(child.owner, DeleteChildren((child,), "deleted"), now)

    def delete_identity(self, identity: str, now: float) -> None:
        """Delete what there is with whom was authenticated as `identity`, or is about to be.

        ESP SAs are gone when this returns and no others are made; IKE SAs go as with `delete`.
        """
        for sa in self._host.of_identity(identity):
            if isinstance(sa.state, Established):
                self._exchanges.end(sa, "deleted", now)
            elif not isinstance(sa.state, Closed):
                self._responder.withdraw(sa, "deleted", now)

    # The AAA's calls. A verdict that comes too late is an event, not an error.

    def awaits_eap(self, ike_spi: bytes) -> bool:
        """Return whether the initiator waits for the AAA's word: ask before opening anything."""
        return self._responder.awaits_eap(ike_spi)

    def eap_request(self, ike_spi: bytes, packet: bytes, now: float) -> None:
        """Send the AAA's next EAP request to the initiator."""
        self._responder.eap_request(ike_spi, packet, now)

    def eap_success(
        self,
        ike_spi: bytes,
        packet: bytes,
        msk: bytes,
        now: float,
        *,
        identity: str,
        grant: Grant | None = None,
        lifetime: float | None = None,
    ) -> None:
        """Finish EAP with success: `packet` is EAP-Success, `msk` what both sides prove.

        `identity` is whom the AAA has authenticated, whatever IDi says (section 2.16); `grant` is
        the home address that it assigns, without it `allocate` decides. After `lifetime` seconds
        the IKE SA ends, rekeyed or not (section 2.8.3).
        """
        self._responder.eap_success(
            ike_spi, packet, msk, now, identity=identity, grant=grant, lifetime=lifetime
        )

    def eap_failure(
        self, ike_spi: bytes, packet: bytes | None, now: float, reason: str = "EAP has failed"
    ) -> None:
        """Finish EAP with failure: `packet` is EAP-Failure if there is one."""
        self._responder.eap_failure(ike_spi, packet, reason, now)

    # Messages.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from `source`."""
        host = self._host
        try:
            message = split_datagram(data)
        except WireError as error:
            host.discard(source, f"no IKEv2 message: {error}", now)
            if isinstance(error, LaterVersionError) and not error.header.response:
                note = Notification(NotifyType.INVALID_MAJOR_VERSION)
                self._responder.refuse_plain(error.header, source, note)
            return
        header = message.header
        if header.exchange == Exchange.IKE_SA_INIT and not header.response:
            if header.initiator:
                self._responder.handle_init(message, source, now)
            else:
                host.discard(source, "IKE_SA_INIT not from the initiator", now)
            return
        sa = host.sas.get(header.spi_r if header.initiator else header.spi_i)
        if sa is None or sa.initiator == header.initiator:
            host.discard(source, "the SPIs belong to no IKE SA", now)
            if sa is None:
                self._responder.disown(message, source, now)
        elif header.exchange == Exchange.IKE_SA_INIT:
            self._handle_init_response(sa, message, source, now)
        elif header.spi_i != sa.spi_i or header.spi_r != sa.spi_r:
            host.discard(source, "one of the SPIs is another", now)
        elif header.response:
            self._handle_response(sa, message, source, now)
        else:
            self._handle_request(sa, message, source, now)

    def _handle_init_response(
        self, sa: IkeSa, message: Message, source: Address, now: float
    ) -> None:
        if isinstance(sa.state, InitSent) and source == sa.address:
            self._initiator.handle_init(sa, message, now)
        else:
            self._host.discard(source, "IKE_SA_INIT is over, or goes on elsewhere", now)

    def _handle_response(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        host, header, request = self._host, message.header, sa.request
        if message.first == PayloadType.NOTIFY:
            self._exchanges.handle_hint(sa, message, source, now)
            return
        if (
            request is None
            or sa.sealer is None
            or (request.message_id, request.exchange) != (header.message_id, header.exchange)
        ):
            host.discard(source, "a response to no request that is under way", now)
            return
        try:
            contents = Contents.of(sa.sealer.open(message))
        except NotAuthenticError:
            host.discard(source, "a response that is not authentic", now)
            return
        except (WireError, PeerError) as error:
            if isinstance(request.purpose, Initial):
                host.close(sa, f"IKE_AUTH: {error}", now)
            else:
                self._exchanges.broken_response(sa, error, now)
            return
        if isinstance(request.purpose, Initial):
            self._initiator.handle_auth(sa, contents, now)
        else:
            host.watch(sa, now)
            self._exchanges.handle_response(sa, contents, now)

    def _handle_request(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        host, message_id = self._host, message.header.message_id
        if sa.heard and message.data == sa.heard.data:
            if sa.answered:  # To where the first one came from: this one may be a recording.
                host.send(sa.answered, sa.reply_to or sa.address)
            return
        if not isinstance(sa.state, Established) and len(message.data) > MAX_UNPROVEN:
            host.discard(source, f"IKE_AUTH of {len(message.data)} octets", now)
            return
        if sa.heard and not sa.answered:
            host.discard(source, "a request before the last one is answered", now)
            return
        if message_id != sa.expected_id or isinstance(sa.state, Closed):
            host.discard(source, f"a request with message id {message_id}", now)
            return
        if sa.initiator and not isinstance(sa.state, Established):
            host.discard(source, "a request that has overtaken the response to IKE_AUTH", now)
            return
        try:
            if isinstance(sa.state, HalfOpen) and sa.sealer is None:
                self._responder.secure(sa, sa.state)
            if sa.sealer is None:
                raise NotAuthenticError
            contents = Contents.of(sa.sealer.open(message))
        except NotAuthenticError:
            host.discard(source, "a request that is not authentic", now)
            return
        except (WireError, PeerError) as error:
            if sa.sealer is None:
                host.close(sa, f"IKE_SA_INIT: {error}", now)
                return
            sa.heard, sa.answered, sa.reply_to = message, b"", source
            self._refuse(sa, error, now)
            return
        sa.heard, sa.answered, sa.reply_to = message, b"", source
        self._take_request(sa, message.header.exchange, contents, now)

    def _refuse(self, sa: IkeSa, error: Exception, now: float) -> None:
        if isinstance(sa.state, Established):
            self._exchanges.refuse(sa, error, now)
        else:
            self._responder.refuse(sa, error, now)

    def _take_request(self, sa: IkeSa, exchange: int, contents: Contents, now: float) -> None:
        match exchange, isinstance(sa.state, Established):
            case Exchange.IKE_AUTH, False:
                self._responder.handle_auth(sa, contents, now)
            case Exchange.INFORMATIONAL, False:
                self._responder.handle_end(sa, contents, now)
            case ((Exchange.CREATE_CHILD_SA | Exchange.INFORMATIONAL), True):
                self._exchanges.handle_request(sa, exchange, contents, now)
            case _:
                reason = f"exchange type {exchange} out of turn"
                self._refuse(sa, PeerError(reason, NotifyType.INVALID_SYNTAX), now)

    # Time.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self._host.timers.next()

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        while (key := self._host.timers.pop(now)) is not None:
            self._deadlines.expire(key, now)
