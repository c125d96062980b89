"""The terms of network access that a PAA of draft-ietf-pana-pana-12 tells, and the PaC's answer.

Networks to select (section 5.10), address configuration after PANA (8.12), per-packet protection
(8.13), and device identifiers (5.7). RFC 5191 has none of them.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import Record
from agents.pana.draft12_wire import decode_avps, encode_avp
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.wire import Avp, AvpName, Message


class Ppac(IntFlag):
    """Ways to configure an address after PANA (section 8.12)."""

    NONE = 0x80000000
    DHCPV4 = 0x40000000
    DHCPV6 = 0x20000000
    STATELESS = 0x10000000
    DHCPV4_TUNNEL = 0x08000000
    IKEV2 = 0x04000000


class PacketProtection(IntEnum):
    """Per-packet protection that the EPs demand (section 8.13)."""

    L2 = 0
    IPSEC = 1


FAMILIES = {1: 4, 2: 16, 6: 6}
"""Octets of an address by its IANA address family number: IPv4, IPv6, IEEE 802."""


class Device(Record, frozen=True):
    """A device identifier of Diameter's type Address (RFC 6733 section 4.3.1)."""

    family: int
    address: bytes

    def __str__(self) -> str:
        if self.family == 2:
            return str(IPv6Address(self.address))
        return str(IPv4Address(self.address)) if self.family == 1 else self.address.hex(":")

    @classmethod
    def of(cls, address: IPv6Address) -> Device:
        """Return the identifier that an IPv6 address is."""
        return cls(2, address.packed)

    @classmethod
    def from_value(cls, value: bytes) -> Device:
        """Parse a Device-Id AVP's value; RefusedError if its type is not supported."""
        family, address = int.from_bytes(value[:2]), value[2:]
        if FAMILIES.get(family) != len(address):
            bad = Avp(AvpName.DEVICE_ID, value)
            raise RefusedError(f"Device-Id of family {family}", ErrorCode.INVALID_AVP_DATA, bad)
        return cls(family, address)

    def to_avp(self) -> Avp:
        """Return the Device-Id AVP."""
        return Avp(AvpName.DEVICE_ID, self.family.to_bytes(2) + self.address)


class Provider(Record, frozen=True):
    """A NAP or an ISP; `identifier` is an enterprise number."""

    name: str
    identifier: int | None = None

    def to_avp(self, name: AvpName) -> Avp:
        """Return NAP-Information or ISP-Information (sections 8.7 and 8.9)."""
        inner = b""
        if self.identifier is not None:
            inner = encode_avp(Avp.u32(AvpName.PROVIDER_IDENTIFIER, self.identifier))
        return Avp(name, inner + encode_avp(Avp(AvpName.PROVIDER_NAME, self.name.encode())))

    @classmethod
    def from_avp(cls, avp: Avp) -> Provider:
        """Parse NAP-Information or ISP-Information; RefusedError if it is not well formed."""
        try:
            inner = {part.name: part.value for part in decode_avps(avp.value)}
            name = inner[AvpName.PROVIDER_NAME].decode()
            number = inner.get(AvpName.PROVIDER_IDENTIFIER)
        except (WireError, KeyError, UnicodeDecodeError):
            name_of = avp.name.value if isinstance(avp.name, AvpName) else str(avp.name)
            code = ErrorCode.INVALID_AVP_DATA
            raise RefusedError(f"{name_of} without a name", code, avp) from None
        return cls(name, None if number is None else int.from_bytes(number))


def providers(message: Message, name: AvpName) -> tuple[Provider, ...]:
    """Return the providers that the AVPs of this name tell."""
    return tuple(Provider.from_avp(avp) for avp in message.avps if avp.name is name)


class NetworkTerms(Record, frozen=True):
    """What a PAA tells. `enforcement_points` are told if the PaC's device identifier is wanted.

    `announce` tells PPAC and Protection-Capability in the start request too, where nothing
    protects them: section 11.2 advises against it.
    """

    ppac: Ppac = Ppac.NONE
    protection: PacketProtection | None = None
    enforcement_points: tuple[Device, ...] = ()
    nap: Provider | None = None
    isps: tuple[Provider, ...] = ()
    announce: bool = False

    def __post_init__(self) -> None:
        if self.protection is not None and not self.enforcement_points:
            raise ValueError("Protection-Capability needs the EPs' device identifiers")
        if not self.ppac or (Ppac.NONE in self.ppac and self.ppac != Ppac.NONE):
            raise ValueError("PPAC is either NONE or one or more of the others")

    def _capabilities(self) -> tuple[Avp, ...]:
        ppac = Avp.u32(AvpName.PPAC, self.ppac)
        if self.protection is None:
            return (ppac,)
        return (ppac, Avp.u32(AvpName.PROTECTION_CAPABILITY, self.protection))

    def start_avps(self) -> tuple[Avp, ...]:
        """Return what PSR tells (section 7.2)."""
        nap = () if self.nap is None else (self.nap.to_avp(AvpName.NAP_INFORMATION),)
        isps = (isp.to_avp(AvpName.ISP_INFORMATION) for isp in self.isps)
        return (*nap, *isps, *(self._capabilities() if self.announce else ()))

    def result_avps(self) -> tuple[Avp, ...]:
        """Return what a successful PBR tells (section 4.4)."""
        return (*self._capabilities(), *(ep.to_avp() for ep in self.enforcement_points))

    def check_answer(self, message: Message) -> Device | None:
        """Return the PaC's device by PBA; RefusedError if PPAC or a wanted Device-Id is missing."""
        chosen = message.number(AvpName.PPAC)
        if chosen is None:
            missing = Avp(AvpName.PPAC, b"")
            raise RefusedError("PBA without PPAC", ErrorCode.MISSING_AVP, missing, fatal=True)
        if not chosen & self.ppac or chosen & ~self.ppac & _ALL:
            bad = Avp.u32(AvpName.PPAC, chosen)
            reason = f"PBA with PPAC {chosen:#010x}"
            raise RefusedError(reason, ErrorCode.INVALID_AVP_DATA, bad, fatal=True)
        value = message.value(AvpName.DEVICE_ID)
        device = None if value is None else Device.from_value(value)
        wanted = {ep.family for ep in self.enforcement_points}
        if wanted and (device is None or device.family not in wanted):
            missing = Avp(AvpName.DEVICE_ID, b"")
            reason = "no Device-Id of the EPs' type"
            raise RefusedError(reason, ErrorCode.MISSING_AVP, missing, fatal=True)
        return device


_ALL = int(Ppac.NONE) | 0x7C000000


class HostTerms(Record, frozen=True):
    """What a PaC can do: address configuration, protection, its device identifier, its ISP.

    With `isp` unset the AAA decides by the user's realm.
    """

    ppac: Ppac = Ppac.NONE | Ppac.DHCPV6 | Ppac.STATELESS
    protections: frozenset[PacketProtection] = frozenset()
    device: Device | None = None
    isp: Provider | None = None

    def start_avps(self) -> tuple[Avp, ...]:
        """Return what PSA chooses (section 5.10)."""
        return () if self.isp is None else (self.isp.to_avp(AvpName.ISP_INFORMATION),)

    def check_result(self, message: Message) -> None:
        """Raise a fatal RefusedError if this host cannot do what a successful PBR demands."""
        offered = message.number(AvpName.PPAC)
        if offered is None:
            missing = Avp(AvpName.PPAC, b"")
            raise RefusedError("success without PPAC", ErrorCode.MISSING_AVP, missing, fatal=True)
        if not self._chosen(offered):
            code = ErrorCode.PPAC_CAPABILITY_UNSUPPORTED
            raise RefusedError(f"no way to configure an address: {offered:#010x}", code, fatal=True)
        protection = message.number(AvpName.PROTECTION_CAPABILITY)
        if protection is not None and protection not in self.protections:
            code = ErrorCode.PROTECTION_CAPABILITY_UNSUPPORTED
            raise RefusedError(f"Protection-Capability {protection}", code, fatal=True)
        for value in message.values(AvpName.DEVICE_ID):
            Device.from_value(value)

    def _chosen(self, offered: int) -> int:
        if offered & Ppac.NONE:
            return int(Ppac.NONE & self.ppac)
        return offered & int(self.ppac) & _ALL

    def answer_avps(self, message: Message, device: Device | None) -> tuple[Avp, ...]:
        """Return what PBA answers to a PBR: PPAC, and the device identifier if asked for."""
        offered = message.number(AvpName.PPAC)
        avps: list[Avp] = []
        if offered is not None:
            avps.append(Avp.u32(AvpName.PPAC, self._chosen(offered)))
        asked = {Device.from_value(value).family for value in message.values(AvpName.DEVICE_ID)}
        if device is not None and device.family in asked:
            avps.append(device.to_avp())
        return tuple(avps)


def notification(message: Message) -> tuple[str, str] | None:
    """Return language and text of a message's Notification (section 8.11), None without one."""
    value = message.value(AvpName.NOTIFICATION)
    if value is None:
        return None
    length = int.from_bytes(value[:2])
    if length > len(value) - 2:
        raise PeerError("Notification with a language tag beyond its end")
    language, text = value[2 : 2 + length], value[2 + length :]
    return language.decode("ascii", "replace"), text.decode("utf-8", "replace")
