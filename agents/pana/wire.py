"""PANA messages and AVPs by what they mean; how they are laid out is a dialect's business."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Self

from agents.core.record import Record

AVP_HEADER_LENGTH = 8
"""Octets before an AVP's value, in both dialects, unless it is a vendor's."""


class Kind(Enum):
    """The purpose of a message, which a request shares with its answer (RFC 5191 section 7).

    ERROR and UPDATE are draft-ietf-pana-pana-12's alone, RELAY is RFC 6345's.
    """

    __hash__ = object.__hash__  # As good for members, and not a call of Python's.

    INITIATION = "PCI"
    START = "PA[S]"
    AUTH = "PA"
    RESULT = "PA[C]"
    TERMINATION = "PT"
    REAUTH = "PN[A]"
    PING = "PN[P]"
    ERROR = "PE"
    UPDATE = "PU"
    RELAY = "PRY"


class AvpName(Enum):
    """AVPs that the state machines know; which of them a message may carry is a dialect's matter.

    RFC 5191 section 8, RFC 6345, RFC 6786, draft-ietf-pana-pana-12 section 8; the last five are
    the project's.
    """

    __hash__ = object.__hash__  # As good for members, and not a call of Python's.

    AUTH = "AUTH"
    EAP_PAYLOAD = "EAP-Payload"
    INTEGRITY_ALGORITHM = "Integrity-Algorithm"
    KEY_ID = "Key-Id"
    NONCE = "Nonce"
    PRF_ALGORITHM = "PRF-Algorithm"
    RESULT_CODE = "Result-Code"
    SESSION_LIFETIME = "Session-Lifetime"
    TERMINATION_CAUSE = "Termination-Cause"
    PAC_INFORMATION = "PaC-Information"
    RELAYED_MESSAGE = "Relayed-Message"
    ENCRYPTION_ENCAP = "Encryption-Encap"
    ENCRYPTION_ALGORITHM = "Encryption-Algorithm"
    ALGORITHM = "Algorithm"
    COOKIE = "Cookie"
    DEVICE_ID = "Device-Id"
    FAILED_AVP = "Failed-AVP"
    ISP_INFORMATION = "ISP-Information"
    NAP_INFORMATION = "NAP-Information"
    NOTIFICATION = "Notification"
    PPAC = "Post-PANA-Address-Configuration"
    PROTECTION_CAPABILITY = "Protection-Capability"
    PROVIDER_IDENTIFIER = "Provider-Identifier"
    PROVIDER_NAME = "Provider-Name"
    SESSION_ID = "Session-Id"
    MOBILITY_CAPABILITY = "Mobility-Capability"
    HOME_AGENT_ADDRESS = "MIP6-Home-Agent-Address"
    HOME_AGENT_FQDN = "MIP6-Home-Agent-FQDN"
    HOME_ADDRESS = "Home-Address"
    SEALED_ASSIGNMENT = "Sealed-Assignment"


class Result(IntEnum):
    """How an authentication ended (RFC 5191 section 8.7); dialects number it on the wire."""

    SUCCESS = 0
    AUTHENTICATION_REJECTED = 1
    AUTHORIZATION_REJECTED = 2


class TerminationCause(IntEnum):
    """Why a session is terminated (RFC 5191 section 8.9)."""

    LOGOUT = 1
    ADMINISTRATIVE = 4
    SESSION_TIMEOUT = 8

    @classmethod
    def describe(cls, number: int | None) -> str:
        """Return the name of a cause from the wire, or its number if it has no name."""
        known = {cause.value: cause.name for cause in cls}
        return known.get(number or 0, f"Termination-Cause {number}")


class UnknownAvp(Record, frozen=True):
    """The header of an AVP that has no name here; it survives decoding and encoding."""

    code: int
    flags: int = 0
    vendor: int | None = None

    def __str__(self) -> str:
        return f"AVP {self.code}" + ("" if self.vendor is None else f" of vendor {self.vendor}")


class Avp(Record, frozen=True):
    """One attribute-value pair; `value` has no padding."""

    name: AvpName | UnknownAvp
    value: bytes

    @classmethod
    def u32(cls, name: AvpName, number: int) -> Self:
        """Return an AVP of type Unsigned32."""
        return cls(name, number.to_bytes(4))


def read_avps(
    data: bytes, start: int, decode: Callable[[bytes, int], tuple[Avp, int]]
) -> tuple[list[Avp], int | None]:
    """Return the AVPs from `start` to the end, and where the value of AUTH is among them.

    `decode` returns the AVP that starts somewhere, and where the next one does.
    """
    avps, auth_offset = list[Avp](), None
    while start < len(data):
        avp, following = decode(data, start)
        avps.append(avp)
        if avp.name is AvpName.AUTH:
            auth_offset = start + AVP_HEADER_LENGTH
        start = following
    return avps, auth_offset


class Message(Record, frozen=True):
    """One PANA message; `session` is the identifier's octets, empty where there is none.

    `flags` are header bits that `kind` and `request` do not imply. `auth_offset` is where the
    value of AUTH lies in the bytes that the message was decoded from.
    """

    kind: Kind
    request: bool
    session: bytes
    sequence: int
    avps: tuple[Avp, ...] = ()
    flags: int = 0
    auth_offset: int | None = None

    def values(self, name: AvpName) -> tuple[bytes, ...]:
        """Return the values of every AVP of this name, in order."""
        return tuple([avp.value for avp in self.avps if avp.name is name])

    def value(self, name: AvpName) -> bytes | None:
        """Return the value of the first AVP of this name, None if there is none."""
        for avp in self.avps:
            if avp.name is name:
                return avp.value
        return None

    def number(self, name: AvpName) -> int | None:
        """Return the first AVP of this name as an unsigned integer, None if there is none."""
        value = self.value(name)
        return None if value is None else int.from_bytes(value)

    @property
    def auth_length(self) -> int:
        """The length of AUTH's value in octets, 0 without AUTH."""
        return len(self.value(AvpName.AUTH) or b"")

    def has(self, name: AvpName) -> bool:
        """Return whether an AVP of this name is present."""
        return self.value(name) is not None
