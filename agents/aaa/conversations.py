"""The home AAA server's EAP conversations: whose they are, how many, until when."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.aaa.admission import Admission
from agents.aaa.remote import RemoteEapServer
from agents.core.folding import ascii_lower
from agents.core.quotas import Quotas, Share
from agents.core.record import Record
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.mobility import MobilityRequest
from agents.eap.names import canonical_identity, is_anonymous
from agents.eap.server import EapServer


class Limits(Record, frozen=True):
    """How many conversations there may be at once: in all, of one NAS, and of one identity there.

    One NAS may have half of them, so that a flood through it leaves room for the others; one
    claimed identity a fifth of these, so that a flood under one name leaves room for other names.
    A subscriber that has proved its name may have `proved` that have not ended, by whatever NAS:
    network access and IKE at once, and one more of each that a mobile node has left behind.
    """

    total: int = 1000
    nas: int = 500
    identity: int = 100
    proved: int = 4


class Stage(IntEnum):
    """How far a conversation has got: what has ended gives way first, who is proved to nobody."""

    ENDED = 0
    CLAIMED = 1  # an identity, or not even that
    HELLO = 2  # the ClientHello has come
    CERTIFICATE = 3  # the flight with the certificate has begun
    PROVED = 4


Key: TypeAlias = tuple[str, str]


def _key(request: DiameterEapRequest) -> Key:
    """Name a conversation: a Session-Id means nothing but with the NAS that chose it."""
    return ascii_lower(request.origin_host), request.session_id


@dataclass(slots=True)
class Conversation:
    """One EAP conversation; `answer` is what its last request got.

    While it is `unstored` the answer to the last one waits for a lease to be stored, while it is
    `asking` for what another EAP server says.
    """

    key: Key
    server: EapServer | RemoteEapServer
    deadline: float
    mobility: MobilityRequest = field(default_factory=MobilityRequest)
    care_of_address: IPv6Address | None = None
    payload: bytes = field(default=b"", repr=False)
    request: bytes | None = field(default=None, repr=False)
    answer: DiameterEapAnswer | None = None
    invalid: int = 0
    ended: bool = False
    unstored: bool = False
    asking: bool = False
    admission: Admission | None = None

    def note(self, request: DiameterEapRequest) -> None:
        """Keep what a request says about the mobile node's wish and place."""
        if request.feature_vector is not None:
            self.mobility = request.mobility
        self.care_of_address = request.care_of_address or self.care_of_address

    def remember(self, request: DiameterEapRequest, answer: DiameterEapAnswer) -> DiameterEapAnswer:
        """Keep the answer for duplicates of its request, and return it."""
        self.payload, self.answer = request.eap_payload, answer
        return answer


class Conversations:
    """Those that are open, or ended not long ago; each lasts `lifetime` seconds, then as many."""

    def __init__(self, lifetime: float, limits: Limits, rng: random.Random) -> None:
        self._lifetime = lifetime
        self._limits = limits
        self._quotas: Quotas[Key] = Quotas(Stage.PROVED, rng)
        self._proved: Quotas[Key] = Quotas()
        # All deadlines are as far from their beginnings: this order is that of the deadlines.
        self._by_key: OrderedDict[Key, Conversation] = OrderedDict()

    def find(self, request: DiameterEapRequest) -> Conversation | None:
        """Return the conversation that a request belongs to."""
        return self._by_key.get(_key(request))

    def open(
        self,
        request: DiameterEapRequest,
        identity: str,
        server: EapServer | RemoteEapServer,
        now: float,
    ) -> tuple[Conversation, list[Conversation]]:
        """Begin one of somebody who claims to be `identity`; return those that it displaces too.

        Raises NoRoomError where all have proved who they are.
        """
        key = _key(request)
        conversation = Conversation(key, server, now + self._lifetime)
        shares = self._shares(key)
        # Nobody is meant by an anonymous name: those who use it are one another's strangers.
        if identity and not is_anonymous(identity):
            group = ("identity", key[0], canonical_identity(identity))
            shares = (Share(group, self._limits.identity), *shares)
        displaced = self._quotas.enter(key, shares, Stage.CLAIMED)
        gone = [self._forget(old) for old in displaced]
        self._by_key[key] = conversation
        return conversation, gone

    def advance(self, conversation: Conversation) -> list[Conversation]:
        """Note how far a conversation has got, and return those that it displaces.

        Nobody displaces a peer that has proved who it is, and it counts no more where others claim
        the same name, but with the subscriber's own conversations, of which the oldest gives way.
        """
        key, server = conversation.key, conversation.server
        if key in self._proved:
            return []
        if not server.verified:
            stage = min(Stage.CLAIMED + server.flights, Stage.CERTIFICATE)
            self._quotas.move(key, stage)
            return []
        self._quotas.leave(key)
        self._quotas.enter(key, self._shares(key), Stage.PROVED)
        name = canonical_identity(server.peer_name or "")
        displaced = self._proved.enter(key, (Share(name, self._limits.proved),))
        return [self._forget(old) for old in displaced]

    def end(self, conversation: Conversation, now: float) -> None:
        """Note the end of a conversation, which stays for duplicates of its last request."""
        conversation.ended = True
        if self._by_key.get(conversation.key) is not conversation:
            return  # It has given way.
        conversation.deadline = now + self._lifetime
        self._by_key.move_to_end(conversation.key)
        self._quotas.move(conversation.key, Stage.ENDED)
        self._proved.leave(conversation.key)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        for conversation in self._by_key.values():
            return conversation.deadline
        return None

    def expired(self, now: float) -> list[Conversation]:
        """Forget those whose deadline has come, and return them."""
        found = []
        while (deadline := self.next_timeout()) is not None and deadline <= now:
            found.append(self._forget(next(iter(self._by_key))))
        return found

    def drop(self, nas: str) -> list[Conversation]:
        """Forget those that a NAS has begun and not ended, and return them."""
        begun = [key for key, one in self._by_key.items() if key[0] == nas and not one.ended]
        return [self._forget(key) for key in begun]

    def _shares(self, key: Key) -> tuple[Share, ...]:
        return Share(("NAS", key[0]), self._limits.nas), Share("all", self._limits.total)

    def _forget(self, key: Key) -> Conversation:
        self._quotas.leave(key)
        self._proved.leave(key)
        return self._by_key.pop(key)
