"""What DHCPv6 tells about a home network (RFC 6610 section 3)."""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Self

from agents.bootstrap.assignment import Assignment
from agents.core.machine import PeerError
from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.core.unicast import is_unicast
from agents.dhcpv6.grammar import check_container
from agents.dhcpv6.wire import Option, OptionCode, decode_name, encode_name, same_name


class Home(IntEnum):
    """Which home network is meant; the numbers are those of the containers (section 3.2)."""

    LOCAL = OptionCode.MIP6_VDINF
    IDENTIFIED = OptionCode.MIP6_IDINF
    UNRESTRICTED = OptionCode.MIP6_UDINF


class HomeInformation(Record, frozen=True):
    """One Home Network Information option; `network` identifies an IDENTIFIED home network.

    `other` are options without a meaning here; they survive.
    """

    home: Home
    network: str | None = None
    prefixes: tuple[IPv6Network, ...] = ()
    addresses: tuple[IPv6Address, ...] = ()
    names: tuple[str, ...] = ()
    other: tuple[Option, ...] = ()

    @classmethod
    def of(cls, assignment: Assignment, network: str | None) -> Self:
        """Return what an assignment tells, for the network identified or for an unnamed one."""
        home = Home.UNRESTRICTED if network is None else Home.IDENTIFIED
        prefix = IPv6Network((assignment.home_agent, assignment.prefix_length), strict=False)
        return cls(home, network, (prefix,), (assignment.home_agent,))

    @property
    def complete(self) -> bool:
        """Whether it names a home agent that can be reached over IPv6 (section 4.1.2)."""
        return bool(self.addresses or self.names)

    def to_option(self) -> Option:
        """Return the container with its options."""
        name, code = self.network, OptionCode
        options = () if name is None else (Option(code.MIP6_HNIDF, encode_name(name)),)
        prefixes = (Option(code.MIP6_HNP, _prefix_octets(p)) for p in self.prefixes)
        addresses = (Option(code.MIP6_HAA, a.packed) for a in self.addresses)
        names = (Option(code.MIP6_HAF, encode_name(n)) for n in self.names)
        return Option.container(self.home, (*options, *prefixes, *addresses, *names, *self.other))

    @classmethod
    def from_option(cls, container: Option) -> Self:
        """Read a container; raises WireError or PeerError.

        An address that cannot be a home agent's is left out; so is one that embeds one of IPv4,
        for it must be used over IPv4 only (section 4.1.2).
        """
        home = Home(container.code)
        options = container.as_options()
        check_container(OptionCode(home), options)
        network: str | None = None
        prefixes: list[IPv6Network] = []
        addresses: list[IPv6Address] = []
        names: list[str] = []
        other: list[Option] = []
        for option in options:
            match option.code:
                case OptionCode.MIP6_HNIDF:
                    network = decode_name(option.value)
                case OptionCode.MIP6_HNP:
                    prefixes.append(_decode_prefix(option.value))
                case OptionCode.MIP6_HAA:
                    addresses.append(_decode_address(option.value))
                case OptionCode.MIP6_HAF:
                    names.append(decode_name(option.value))
                case _:
                    other.append(option)
        usable = tuple(address for address in addresses if is_unicast(address))
        return cls(home, network, tuple(prefixes), usable, tuple(names), tuple(other))


def _decode_address(value: bytes) -> IPv6Address:
    r = Reader(value)
    address = IPv6Address(r.take(16))
    r.finish()
    return address


def _prefix_octets(prefix: IPv6Network) -> bytes:
    return prefix.prefixlen.to_bytes(1) + prefix.network_address.packed


def _decode_prefix(value: bytes) -> IPv6Network:
    r = Reader(value)
    length, address = r.u8(), r.take(16)
    r.finish()
    if length > 128:
        raise WireError(f"a prefix of {length} bits")
    return IPv6Network((address, length), strict=False)


def requested(option: Option | None) -> frozenset[int]:
    """Return the codes in an Option Request option (RFC 8415 section 21.7)."""
    if option is None:
        return frozenset()
    r, codes = Reader(option.value), set()
    while r.remaining:
        codes.add(r.u16())
    return frozenset(codes)


def read_first(options: tuple[Option, ...], network: str | None = None) -> HomeInformation:
    """Return the first container that can be used; raises PeerError if none can.

    `network` is the one that an IDENTIFIED home network must have; a container of another, an
    incomplete and a broken one are passed over (section 4.1.2).
    """
    reason = "no home network information"
    for option in options:
        try:
            information = HomeInformation.from_option(option)
        except (WireError, PeerError) as error:
            reason = str(error)
            continue
        wrong = not same_name(information.network or "", network or "")
        if information.home is Home.IDENTIFIED and wrong:
            reason = f"information about {information.network}, which was not asked for"
        elif not information.complete:
            reason = f"option {OptionCode(option.code).name} names no home agent"
        else:
            return information
    raise PeerError(reason)
