"""What the PANA machines tell their owners."""

from __future__ import annotations

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Event
from agents.core.record import Secret
from agents.pana.mobility import MobilityCapability
from agents.pana.wire import Result


class Started(Event, frozen=True):
    """The PaC has queued its first PANA-Client-Initiation."""


class Authenticated(Event, frozen=True):
    """The PaC has queued its final answer; `lifetime` in seconds from now.

    `assignment` is None unless the PaC asked for a home agent and got one. A successful
    re-authentication gives this event again. `sealed` is what the home AAA server told past the
    PAA. `lifetime` is infinite if the PAA names none.
    """

    session_id: int
    lifetime: float
    assignment: Assignment | None
    msk: Secret[bytes]
    sealed: Secret[bytes | None] = None


class AssignmentForetold(Event, frozen=True):
    """The PaC got `sealed` with an EAP request: what the home AAA server tells past the PAA.

    Nothing in PANA protects it here; its seal alone tells whether it is to be believed.
    """

    session_id: int
    sealed: Secret[bytes]


class Rejected(Event, frozen=True):
    """The PAA refused the PaC; `code` is a Result-Code by its number in RFC 5191."""

    code: Result
    reason: str


class Failed(Event, frozen=True):
    """An authentication ended without a session; at the PAA with the session and the PaC."""

    reason: str
    session_id: int | None = None
    pac: Address | None = None


class Terminated(Event, frozen=True):
    """An authorised session is over; `pac` is None at the PaC itself.

    `cause` is LOGOUT, ADMINISTRATIVE, SESSION_TIMEOUT (RFC 5191 section 8.9), or a reason in
    plain words.
    """

    session_id: int
    pac: Address | None
    cause: str


class PingAnswered(Event, frozen=True):
    """The peer has answered a liveness test."""

    session_id: int


class Updated(Event, frozen=True):
    """The PAA has confirmed the PaC's new address."""

    session_id: int


class ErrorReported(Event, frozen=True):
    """The peer has refused a message; `code` is of draft-ietf-pana-pana-12 section 8.16.2.

    Without `protected` anyone may have said so, and nothing else has happened.
    """

    session_id: int
    code: int
    reason: str
    protected: bool


class Notified(Event, frozen=True):
    """The peer has sent a text to be shown, in the language of an RFC 5646 tag."""

    session_id: int
    language: str
    text: str


class EapResponse(Event, frozen=True):
    """The PAA has an EAP response for the AAA; `mobility`: a Mobile IPv6 home agent is wanted.

    `isp` is the name of the provider that the PaC has chosen, None if it leaves that open.
    """

    session_id: int
    pac: Address
    mobility: bool
    capability: MobilityCapability
    packet: Secret[bytes]
    isp: str | None = None


class Authorised(Event, frozen=True):
    """The PaC has confirmed its success; traffic from its address may pass.

    `device` is the PaC's device identifier in text, where it was asked for.
    """

    session_id: int
    pac: Address
    device: str | None = None


class AddressChanged(Event, frozen=True):
    """An authorised PaC proved that it has moved from `old` to `pac` (RFC 5191 section 5.6)."""

    session_id: int
    pac: Address
    old: Address
