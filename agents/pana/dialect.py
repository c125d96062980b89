"""What differs between the versions of PANA on the wire, gathered behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from agents.pana.grammar import Grammar, GrammarTable
from agents.pana.keys import Algorithms, KeyMaterial, SecurityAssociation
from agents.pana.wire import Avp, AvpName, Kind, Message, Result

PORT = 716
"""PANA's UDP port (RFC 5191 section 6.1)."""


class Dialect(ABC):
    """Layout, code points, grammar and key derivation; the state machines know nothing of them."""

    name: str
    grammar: GrammarTable
    nonce_kind: Kind
    """The exchange whose request and answer carry the nonces."""

    @abstractmethod
    def encode(self, message: Message) -> bytes:
        """Return the message's octets."""

    @abstractmethod
    def decode(self, data: bytes) -> Message:
        """Parse one datagram; WireError for bad bytes, PeerError for an unknown type or flags."""

    @abstractmethod
    def session_octets(self, number: int) -> bytes:
        """Return the identifier of the PAA's session `number` (32 bits, not zero)."""

    @abstractmethod
    def session_number(self, session: bytes) -> int:
        """Return a number for a session identifier: the PAA's own if the PAA is of this project."""

    @abstractmethod
    def offer(self, algorithms: Algorithms) -> tuple[Avp, ...]:
        """Return the AVPs that offer algorithms in the start request, or select one of each."""

    @abstractmethod
    def algorithms(self, message: Message) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the PRFs and the integrity algorithms that a start message names."""

    @abstractmethod
    def result_number(self, result: Result) -> int:
        """Return the Result-Code's value for a result."""

    @abstractmethod
    def result(self, number: int) -> Result:
        """Return the result that a Result-Code stands for; PeerError if it is unknown."""

    @abstractmethod
    def derive(self, material: KeyMaterial) -> SecurityAssociation:
        """Return the SA with PANA_AUTH_KEY."""

    def rules(self, message: Message) -> Grammar:
        """Return the grammar of the message's type."""
        return self.grammar[message.kind, message.request]

    def label(self, message: Message) -> str:
        """Return the message's name as the dialect's text abbreviates it."""
        return self.rules(message).label

    def check(self, message: Message) -> None:
        """Raise PeerError if the message breaks its grammar."""
        self.rules(message).check(message)

    def seal(self, message: Message, association: SecurityAssociation | None) -> bytes:
        """Encode the message, with AUTH as its last AVP if there is an SA (RFC 5191 5.4)."""
        if association is None:
            return self.encode(message)

        def with_auth(value: bytes) -> bytes:
            avps = (*message.avps, Avp(AvpName.AUTH, value))
            return self.encode(replace(message, avps=avps))

        return with_auth(association.auth(with_auth(bytes(association.auth_length))))
