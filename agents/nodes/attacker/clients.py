"""Attacks by a host that asks for network access itself: downgrades, and more than its share."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether

from agents.eap import ca
from agents.eap.lower import EapKeysLike, EapPeerLike, identity_response
from agents.eap.peer import EapPeer
from agents.eap.tls import TlsClientConfig
from agents.eap.wire import Code, Packet, Type
from agents.nodes.attacker.attack import Attack, Frames, datagram, goes_to
from agents.nodes.attacker.settings import End, Known
from agents.pana import events
from agents.pana.config import PacConfig
from agents.pana.dialect import PORT
from agents.pana.pac import Pac

_FIRST_PORT = 30_000
_DISCARD = 9
MD5_CHALLENGE = 4
"""EAP methods that are too weak (RFC 3748 section 5.4)."""


class WantsMd5:
    """An EAP peer in a subscriber's name that refuses EAP-TLS and asks for EAP-MD5."""

    keys: EapKeysLike | None = None
    early_keys: EapKeysLike | None = None

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self.outcome: str | None = None
        self.reason = ""
        self.offered = False
        """Whether the server has stooped to it."""

    def handle_request(self, packet: bytes) -> bytes | None:
        """Answer with a Nak whatever is not EAP-MD5."""
        read = Packet.decode(packet)
        if read.code is not Code.REQUEST:
            self.outcome, self.reason = "failure", "EAP-Failure"
            return None
        if read.type == Type.IDENTITY:
            response = identity_response(self._identity)
            return response[:1] + bytes([read.identifier]) + response[2:]
        self.offered |= read.type == MD5_CHALLENGE
        return Packet(Code.RESPONSE, read.identifier, Type.NAK, bytes([MD5_CHALLENGE])).encode()


class Client(Attack):
    """The base: a PaC that has an EAP peer of its own, in one session after the other."""

    patience = 3.0
    sessions = 1

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._pac: Pac | None = None
        self._begun = 0
        self._granted = 0

    def eap(self) -> EapPeerLike:
        """Return the EAP peer of a conversation."""
        raise NotImplementedError

    def _begin(self, now: float) -> Frames:
        """Begin a session, from a port of its own."""
        self._begun += 1
        self._pac = Pac((self.known.far.address, PORT), self.eap(), PacConfig(), rng=self.rng)
        self._pac.start(now)
        return self._follow(self._pac, now)

    def attack(self, now: float) -> Frames:
        """Begin with the first session."""
        return self._begin(now)

    def heard(self, frame: Ether, now: float) -> Frames:
        """Take what is for the session under way."""
        if self._pac is None or UDP not in frame or not goes_to(frame, self.known.own.address):
            return ()
        if (frame[UDP].sport, frame[UDP].dport) != (PORT, _FIRST_PORT + self._begun):
            return ()
        self._pac.handle_message(bytes(frame[UDP].payload), (self.known.far.address, PORT), now)
        return self._follow(self._pac, now)

    def tick(self, now: float) -> Frames:
        """Send again what was not answered."""
        if self._pac is None or (due := self._pac.next_timeout()) is None or due > now:
            return ()
        self._pac.handle_timeout(now)
        return self._follow(self._pac, now)

    def _follow(self, pac: Pac, now: float) -> Frames:
        own, paa = self.known.own, self.known.far
        ports = _FIRST_PORT + self._begun, PORT
        sent = [datagram(own, paa, ports, data) for data, _ in pac.outbox]
        pac.outbox.clear()
        told = list(pac.events)
        pac.events.clear()
        for event in told:
            match event:
                case events.Authenticated():
                    self._granted += 1
                    self.granted()
                    if self._begun < self.sessions:
                        sent += self._begin(now)
                case events.Rejected(reason=reason) | events.Failed(reason=reason):
                    self.told = f"refused: {reason}"
                case _:
                    pass
        return sent

    def granted(self) -> None:
        """Take note of access."""
        self.won = "network access"


class Md5Client(Client):
    """A Nak to EAP-TLS that asks for EAP-MD5, in a subscriber's name (RFC 3748 section 7.8)."""

    def eap(self) -> EapPeerLike:
        """Return the peer that wants EAP-MD5."""
        self._peer = WantsMd5(self.known.identity)
        return self._peer

    def judge(self) -> None:
        """An offer of EAP-MD5 would be enough."""
        if self._peer.offered:
            self.won = "an offer of EAP-MD5"


def _credentials(known: Known, **more: object) -> TlsClientConfig:
    """Return the own, valid credentials of a subscriber."""
    if known.tls is None:
        raise ValueError("this attack needs credentials of a subscriber")
    return TlsClientConfig(**{**known.tls.arguments(), **more}, server_names=(known.server_name,))


class OldTlsClient(Client):
    """A subscriber whose TLS ends at 1.2, where the server demands 1.3."""

    def eap(self) -> EapPeerLike:
        """Return a peer that offers TLS 1.2 and no more."""
        versions = {"minimum_version": "1.2", "maximum_version": "1.2"}
        return EapPeer(self.known.own_identity, _credentials(self.known, **versions))


class Refused(Client):
    """A certificate of a CA that nobody trusts, before others come; then packets all the same.

    From its own address and from another's. It hears no answers: whether they arrive is for the
    core to say.
    """

    _ROUNDS = 10
    """How often it sends: the router may close the filter behind its last message."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self.ready = False
        self._rounds = 0
        with tempfile.TemporaryDirectory() as name:
            made = ca.create(Path(name), (known.own_identity,))
            own = made.clients[known.own_identity]
            self._tls = _credentials(known, certificate=own.certificate, key=own.key)
            self._tls.prepare()

    def eap(self) -> EapPeerLike:
        """Return a peer with credentials that are no good."""
        return EapPeer(self.known.own_identity, self._tls)

    def begin(self, now: float) -> Frames:
        """Begin at once, while nobody is let in."""
        return self._begin(now)

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """It is over."""
        return ()

    def tick(self, now: float) -> Frames:
        """Send into the core once it is refused; others may come after that."""
        yield from super().tick(now)
        if self.told and not self.ready:
            self._rounds += 1
            self.ready = self._rounds == self._ROUNDS
            own, beyond = self.known.own, End(self.known.core_address, self.known.far.mac)
            for source in (own, End(self.known.near.address, own.mac)):
                yield datagram(source, beyond, (_DISCARD, _DISCARD), b"")


class Greedy(Client):
    """A subscriber who authenticates again and again before others come, and never leaves."""

    sessions = 12

    def eap(self) -> EapPeerLike:
        """Return a peer with good credentials."""
        return EapPeer(self.known.own_identity, _credentials(self.known))

    def begin(self, now: float) -> Frames:
        """Begin at once: others are to find nothing left."""
        self.ready = False
        return self._begin(now)

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """It is over."""
        return ()

    def granted(self) -> None:
        """Others may come when it has had all of its sessions."""
        self.told = f"{self._granted} sessions in a row"
        self.ready = self._granted == self.sessions
