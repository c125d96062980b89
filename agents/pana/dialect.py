"""What differs between the versions of PANA on the wire, gathered behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

from agents.core.machine import Address
from agents.core.record import replace
from agents.pana.grammar import Grammar, GrammarTable
from agents.pana.keys import Algorithms, KeyMaterial, SecurityAssociation, Suite
from agents.pana.wire import Avp, AvpName, Kind, Message, Result

PORT = 716
"""PANA's UDP port (RFC 5191 section 6.1)."""


class Dialect(ABC):
    """Layout, code points, grammar and key derivation, and what a later version moved.

    The state machines are the same for every dialect; where a message exists in one only, they ask
    for the properties below.
    """

    name: str
    grammar: GrammarTable
    default_algorithms: Algorithms
    nonce_kind: Kind
    """The exchange whose request and answer carry the nonces, unless the start is stateless."""
    fresh_nonces: bool
    """Whether a re-authentication exchanges nonces anew."""
    repeats_initiation: bool
    """Whether the PaC repeats PCI until the first PAR, or until the start request."""
    requires_lifetime: bool
    """Whether success without Session-Lifetime is invalid."""
    has_terms: bool
    """Whether the PAA tells its terms of network access (agents.pana.terms)."""
    reports_errors: bool
    """Whether there are error messages."""
    update_kind: Kind
    """The request by which the PaC tells a new address."""

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
        """Return the AVPs that name the PAA's algorithms in the start request."""

    @abstractmethod
    def start_choice(self, suite: Suite) -> tuple[Avp, ...]:
        """Return the AVPs that name the PaC's choice in the start answer."""

    @abstractmethod
    def result_choice(self, suite: Suite) -> tuple[Avp, ...]:
        """Return the AVPs that name the algorithms of the session's first key."""

    @abstractmethod
    def select(self, message: Message, algorithms: Algorithms) -> Suite | None:
        """Return the PaC's suite by a request, None if that does not decide it.

        PeerError if the request decides it and no algorithm is shared.
        """

    @abstractmethod
    def selected(self, message: Message, algorithms: Algorithms) -> Suite:
        """Return the suite that holds at the PAA after the PaC's start answer."""

    @abstractmethod
    def stateless_start(self, token: bytes) -> tuple[bytes, int, int, tuple[Avp, ...]]:
        """Return session, sequence number, flags and AVPs of a start request without state.

        `token` is 32 octets that the PAA can make again from the PaC's address.
        """

    @abstractmethod
    def proves(self, message: Message, token: bytes) -> bool:
        """Return whether a start answer echoes the start request made from `token`."""

    @abstractmethod
    def is_stateless(self, message: Message) -> bool:
        """Return whether a start request says that the PAA keeps no state."""

    @abstractmethod
    def result_number(self, result: Result) -> int:
        """Return the Result-Code's value for a result."""

    @abstractmethod
    def result(self, number: int) -> Result:
        """Return the result that a Result-Code stands for; PeerError if it is unknown."""

    @abstractmethod
    def derive(self, material: KeyMaterial) -> SecurityAssociation:
        """Return the SA with PANA_AUTH_KEY."""

    @abstractmethod
    def failed(self, *avps: Avp) -> tuple[Avp, ...]:
        """Return the Failed-AVP AVPs that hold `avps`."""

    @abstractmethod
    def relay(self, pac: Address, data: bytes) -> bytes:
        """Return the message between relay and PAA that carries the PaC's (RFC 6345)."""

    @abstractmethod
    def decrypt(self, message: Message, sa: SecurityAssociation | None) -> Message:
        """Return the message with its encrypted AVPs in clear; PeerError if that is not right."""

    def rules(self, message: Message) -> Grammar:
        """Return the grammar of the message's type."""
        return self.grammar[message.kind, message.request]

    def label(self, message: Message) -> str:
        """Return the message's name as the dialect's text abbreviates it."""
        return self.rules(message).label

    def check(self, message: Message) -> None:
        """Raise PeerError if the message breaks its grammar."""
        self.rules(message).check(message)

    def protect(self, message: Message, sa: SecurityAssociation | None) -> bytes:
        """Encode the message, with AUTH as its last AVP if there is an SA (RFC 5191 5.4)."""
        if sa is None:
            return self.encode(message)
        nothing = bytes(sa.auth_length)
        avps = (*message.avps, Avp(AvpName.AUTH, nothing))
        data = self.encode(replace(message, avps=avps))
        start = len(data) - len(nothing)  # AUTH's length is a multiple of 4: there is no padding.
        return data[:start] + sa.auth(data)
