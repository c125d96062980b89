"""The attributes that are known here, and what is in them.

Attributes of Mobile IPv6 that have a number are RFC 5447's. Those of draft-ietf-mip6-radius never
got one, and are laid out as there in Vendor-Specific attributes with the enterprise number for
examples (RFC 5612), beside the project's own, which have the numbers of their AVPs in Diameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Generic, TypeVar

from agents.core.reader import WireError
from agents.core.record import Record
from agents.radius.wire import Attribute, room

T = TypeVar("T")

MICROSOFT = 311
EXAMPLE = 32473


class Format(Record, Generic[T], frozen=True):
    """A data type (RFC 8044 section 3); a value has `length` octets if that is not None."""

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    length: int | None = None


_MOST = 0xFFFFFFFF


def _encode_integer(value: float) -> bytes:
    return max(0, min(int(value), _MOST)).to_bytes(4)


def _encode_integer64(value: int) -> bytes:
    return value.to_bytes(8)


def _encode_address(value: IPv6Address) -> bytes:
    return value.packed


STRING: Format[bytes] = Format("string", bytes, bytes)
TEXT: Format[str] = Format("text", str.encode, bytes.decode)
INTEGER: Format[float] = Format("integer", _encode_integer, int.from_bytes, 4)
INTEGER64: Format[int] = Format("integer64", _encode_integer64, int.from_bytes, 8)
IPV6_ADDRESS: Format[IPv6Address] = Format("ipv6addr", _encode_address, IPv6Address, 16)


class Definition(Record, Generic[T], frozen=True):
    """One attribute: type, name and data type; `hidden` if it is encrypted on the wire."""

    type: int
    name: str
    format: Format[T]
    vendor: int | None = None
    hidden: bool = False

    def attribute(self, value: T) -> Attribute:
        """Return the attribute with this value."""
        return Attribute(self.type, self.format.encode(value), self.vendor)

    def parts(self, value: T) -> list[Attribute]:
        """Return a long value in as many attributes as it needs, one at least."""
        octets, size = self.format.encode(value), room(self.vendor)
        starts = range(0, len(octets) or 1, size)
        return [Attribute(self.type, octets[i : i + size], self.vendor) for i in starts]

    def values(self, attributes: Iterable[Attribute]) -> Iterator[bytes]:
        """Yield the octets of each of these."""
        kind, vendor = self.type, self.vendor
        return (a.value for a in attributes if a.type == kind and a.vendor == vendor)

    def find(self, attributes: Iterable[Attribute]) -> T | None:
        """Return the value of the first of these, or None; raises WireError."""
        octets = next(self.values(attributes), None)
        return None if octets is None else self._read(octets)

    def join(self, attributes: Iterable[Attribute]) -> T | None:
        """Return the value that all of these have together, or None; raises WireError."""
        octets = list(self.values(attributes))
        return self._read(b"".join(octets)) if octets else None

    def _read(self, octets: bytes) -> T:
        if self.format.length not in {None, len(octets)}:
            raise WireError(f"{self.name}: {len(octets)} octets are no {self.format.name}")
        try:
            return self.format.decode(octets)
        except ValueError:
            raise WireError(f"{self.name}: not a {self.format.name}") from None


class ServiceType(IntEnum):
    """What is asked for or granted (RFC 2865 section 5.6)."""

    FRAMED = 2


class TerminationAction(IntEnum):
    """What is to be done when Session-Timeout is over (RFC 2865 section 5.29)."""

    DEFAULT = 0
    RADIUS_REQUEST = 1


class NasPortType(IntEnum):
    """Where the user is attached (RFC 2865 section 5.41)."""

    VIRTUAL = 5
    ETHERNET = 15


class AcctStatusType(IntEnum):
    """What is accounted (RFC 2866 section 5.1)."""

    START = 1
    STOP = 2
    INTERIM_UPDATE = 3


class AcctTerminateCause(IntEnum):
    """Why a session has ended (RFC 2866 section 5.10)."""

    USER_REQUEST = 1
    LOST_CARRIER = 2
    SESSION_TIMEOUT = 5
    ADMIN_RESET = 6
    NAS_REQUEST = 10
    SERVICE_UNAVAILABLE = 15
    USER_ERROR = 17


INVALID_EAP_PACKET = 202
"""The Error-Cause of an EAP packet that was ignored (RFC 3579 section 2.2)."""

USER_NAME = Definition(1, "User-Name", TEXT)
SERVICE_TYPE = Definition(6, "Service-Type", INTEGER)
FRAMED_MTU = Definition(12, "Framed-MTU", INTEGER)
STATE = Definition(24, "State", STRING)
CLASS = Definition(25, "Class", STRING)
SESSION_TIMEOUT = Definition(27, "Session-Timeout", INTEGER)
TERMINATION_ACTION = Definition(29, "Termination-Action", INTEGER)
CALLING_STATION_ID = Definition(31, "Calling-Station-Id", TEXT)
NAS_IDENTIFIER = Definition(32, "NAS-Identifier", TEXT)
PROXY_STATE = Definition(33, "Proxy-State", STRING)
ACCT_STATUS_TYPE = Definition(40, "Acct-Status-Type", INTEGER)
ACCT_DELAY_TIME = Definition(41, "Acct-Delay-Time", INTEGER)
ACCT_INPUT_OCTETS = Definition(42, "Acct-Input-Octets", INTEGER)
ACCT_OUTPUT_OCTETS = Definition(43, "Acct-Output-Octets", INTEGER)
ACCT_SESSION_ID = Definition(44, "Acct-Session-Id", TEXT)
ACCT_SESSION_TIME = Definition(46, "Acct-Session-Time", INTEGER)
ACCT_INPUT_PACKETS = Definition(47, "Acct-Input-Packets", INTEGER)
ACCT_OUTPUT_PACKETS = Definition(48, "Acct-Output-Packets", INTEGER)
ACCT_TERMINATE_CAUSE = Definition(49, "Acct-Terminate-Cause", INTEGER)
ACCT_MULTI_SESSION_ID = Definition(50, "Acct-Multi-Session-Id", TEXT)
ACCT_INPUT_GIGAWORDS = Definition(52, "Acct-Input-Gigawords", INTEGER)
ACCT_OUTPUT_GIGAWORDS = Definition(53, "Acct-Output-Gigawords", INTEGER)
EVENT_TIMESTAMP = Definition(55, "Event-Timestamp", INTEGER)
NAS_PORT_TYPE = Definition(61, "NAS-Port-Type", INTEGER)
EAP_MESSAGE = Definition(79, "EAP-Message", STRING)
ACCT_INTERIM_INTERVAL = Definition(85, "Acct-Interim-Interval", INTEGER)
MESSAGE_AUTHENTICATOR = Definition(80, "Message-Authenticator", STRING)
NAS_IPV6_ADDRESS = Definition(95, "NAS-IPv6-Address", IPV6_ADDRESS)
ERROR_CAUSE = Definition(101, "Error-Cause", INTEGER)
MIP6_FEATURE_VECTOR = Definition(124, "MIP6-Feature-Vector", INTEGER64)
MIP6_HOME_LINK_PREFIX = Definition(125, "MIP6-Home-Link-Prefix", STRING)
FRAMED_IPV6_ADDRESS = Definition(168, "Framed-IPv6-Address", IPV6_ADDRESS)

MS_MPPE_SEND_KEY = Definition(16, "MS-MPPE-Send-Key", STRING, MICROSOFT, hidden=True)
MS_MPPE_RECV_KEY = Definition(17, "MS-MPPE-Recv-Key", STRING, MICROSOFT, hidden=True)

HOME_AGENT_WISH = Definition(1, "Home-Agent-Wish", INTEGER, EXAMPLE)
SEALED_ASSIGNMENT = Definition(2, "Sealed-Assignment", STRING, EXAMPLE)
LOCAL_HOME_AGENT_KEY = Definition(3, "Local-Home-Agent-Key", STRING, EXAMPLE, hidden=True)
MIP6_HA = Definition(11, "MIP6-HA", STRING, EXAMPLE)
MIP6_HA_FQDN = Definition(12, "MIP6-HA-FQDN", TEXT, EXAMPLE)
MIP6_HOA = Definition(13, "MIP6-HOA", STRING, EXAMPLE)

HIDDEN = frozenset(
    (one.type, one.vendor) for one in (MS_MPPE_SEND_KEY, MS_MPPE_RECV_KEY, LOCAL_HOME_AGENT_KEY)
)
"""Type and vendor of what is encrypted with the shared secret (RFC 2548 section 2.4.2)."""
