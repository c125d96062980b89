"""The data formats of AVPs, and AVP definitions that apply them (RFC 6733 sections 4.2-4.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Generic, TypeAlias, TypeVar

from agents.core.reader import WireError
from agents.core.record import Record
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.wire import Avp, decode_avps, encode_avps

T = TypeVar("T")
IPAddress: TypeAlias = IPv4Address | IPv6Address

_FAMILY_IPV4, _FAMILY_IPV6 = 1, 2
_UNSIGNED32, _UNSIGNED64 = Struct("!I"), Struct("!Q")


class Format(Record, Generic[T], frozen=True):
    """A data format; a value that `decode` takes has between `minimum` and `maximum` octets."""

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    minimum: int = 0
    maximum: int | None = None


_VISIBLE = re.compile(rb"[!-~]+")


def _encode_identity(value: str) -> bytes:
    return value.encode("ascii")


@lru_cache(maxsize=256)  # Peers have few names, which come in every message.
def _decode_identity(data: bytes) -> str:
    if not _VISIBLE.fullmatch(data):
        raise ValueError("not a DiameterIdentity")
    return data.decode("ascii")


def _encode_address(value: IPAddress) -> bytes:
    family = _FAMILY_IPV6 if value.version == 6 else _FAMILY_IPV4
    return family.to_bytes(2) + value.packed


@lru_cache(maxsize=256)  # A message's addresses are read by its check, and by its reader.
def _decode_address(data: bytes) -> IPAddress:
    family = int.from_bytes(data[:2])
    if family == _FAMILY_IPV6:
        return IPv6Address(data[2:])
    if family == _FAMILY_IPV4:
        return IPv4Address(data[2:])
    raise ValueError(f"address family {family}")


MAXIMUM_SECONDS = 0xFFFFFFFF


def _encode_seconds(value: float) -> bytes:
    return max(0, min(int(value), MAXIMUM_SECONDS)).to_bytes(4)


def _decode_seconds(data: bytes) -> float:
    return float(int.from_bytes(data))


def _encode_ipv6(value: IPv6Address) -> bytes:
    return value.packed


OCTET_STRING: Format[bytes] = Format("OctetString", bytes, bytes)
UTF8_STRING: Format[str] = Format("UTF8String", str.encode, bytes.decode)
IDENTITY: Format[str] = Format("DiameterIdentity", _encode_identity, _decode_identity, 1)
URI: Format[str] = Format("DiameterURI", _encode_identity, _decode_identity, 1)
UNSIGNED32: Format[int] = Format("Unsigned32", _UNSIGNED32.pack, int.from_bytes, 4, 4)
SECONDS: Format[float] = Format("Unsigned32", _encode_seconds, _decode_seconds, 4, 4)
ENUMERATED: Format[int] = Format("Enumerated", _UNSIGNED32.pack, int.from_bytes, 4, 4)
UNSIGNED64: Format[int] = Format("Unsigned64", _UNSIGNED64.pack, int.from_bytes, 8, 8)
TIME: Format[bytes] = Format("Time", bytes, bytes, 4, 4)
ADDRESS: Format[IPAddress] = Format("Address", _encode_address, _decode_address, 2)
IPV6_OCTETS: Format[IPv6Address] = Format("OctetString", _encode_ipv6, IPv6Address, 16, 16)
GROUPED: Format[tuple[Avp, ...]] = Format("Grouped", encode_avps, decode_avps)


class Definition(Record, Generic[T], frozen=True):
    """One AVP of the dictionary: its code, name, data format and whether it is sent with M."""

    code: int
    name: str
    format: Format[T]
    mandatory: bool = True
    vendor: int | None = None

    def avp(self, value: T) -> Avp:
        """Return the AVP with this value."""
        return Avp(self.code, self.format.encode(value), self.mandatory, self.vendor)

    def blank(self) -> Avp:
        """Return an example with zeroes of the least length, for Failed-AVP."""
        return Avp(self.code, bytes(self.format.minimum), self.mandatory, self.vendor)

    def is_code_of(self, avp: Avp) -> bool:
        """Tell whether `avp` is one of these."""
        return avp.code == self.code and (avp.vendor or None) == self.vendor

    def among(self, avps: Iterable[Avp]) -> list[Avp]:
        """Return those of `avps` that are one of these."""
        code, vendor = self.code, self.vendor
        return [avp for avp in avps if avp.code == code and (avp.vendor or None) == vendor]

    def read(self, avp: Avp) -> T:
        """Return the value; raises DiameterError INVALID_AVP_LENGTH or INVALID_AVP_VALUE."""
        length, form = len(avp.value), self.format
        if length < form.minimum or (form.maximum is not None and length > form.maximum):
            raise DiameterError(
                f"{self.name}: {length} octets are no {form.name}",
                ResultCode.INVALID_AVP_LENGTH,
                failed=self.blank(),
            )
        try:
            return form.decode(avp.value)
        except WireError as error:
            code = ResultCode.INVALID_AVP_LENGTH
            raise DiameterError(f"{self.name}: {error}", code, failed=self.blank()) from None
        except ValueError:
            reason = f"{self.name}: not a {form.name}"
            code = ResultCode.INVALID_AVP_VALUE
            raise DiameterError(reason, code, failed=avp) from None

    def find(self, avps: Iterable[Avp]) -> T | None:
        """Return the value of the first of these among `avps`, or None; raises as `read`."""
        code, vendor = self.code, self.vendor
        for avp in avps:
            if avp.code == code and (avp.vendor or None) == vendor:
                return self.read(avp)
        return None

    def find_all(self, avps: Iterable[Avp]) -> tuple[T, ...]:
        """Return the values of all of these among `avps`; raises as `read`."""
        return tuple([self.read(avp) for avp in self.among(avps)])

    def need(self, avps: Iterable[Avp]) -> T:
        """Return the value of the first of these; raises as `read`, or MISSING_AVP."""
        value = self.find(avps)
        if value is None:
            raise self.missing()
        return value

    def missing(self) -> DiameterError:
        """Return the error of a message without one of these."""
        reason = f"{self.name} is missing"
        return DiameterError(reason, ResultCode.MISSING_AVP, failed=self.blank())
