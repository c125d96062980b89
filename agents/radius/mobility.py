"""What RADIUS says about the home agent (RFC 5447 section 6, draft-ietf-mip6-radius-06)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.reader import WireError
from agents.radius import dictionary as d
from agents.radius.wire import Attribute


def assignment_attributes(assignment: Assignment) -> list[Attribute]:
    """Return the attributes of a home agent, its home link, its name, and the home address."""
    length = assignment.prefix_length
    link = int(assignment.home_agent) & ~_host_part(length)
    found = [
        d.MIP6_HA.attribute(_on_link(assignment.home_agent, length)),
        d.MIP6_HOME_LINK_PREFIX.attribute(bytes((length,)) + link.to_bytes(16)),
    ]
    if assignment.home_agent_name is not None:
        found += d.MIP6_HA_FQDN.parts(assignment.home_agent_name)
    if assignment.home_address is not None:
        found.append(d.MIP6_HOA.attribute(_on_link(assignment.home_address, length)))
    return found


def read_assignment(attributes: Iterable[Attribute]) -> Assignment | None:
    """Return the first home agent, None if none is named by an address; raises WireError.

    What the link's prefix is MIP6-Home-Link-Prefix says, where it is there.
    """
    attributes = tuple(attributes)
    agent = d.MIP6_HA.find(attributes)
    if agent is None:
        return None
    home_agent, length = _from_link("MIP6-HA", agent)
    prefix = d.MIP6_HOME_LINK_PREFIX.find(attributes)
    if prefix is not None:
        length = _prefix_length(prefix)
    home = d.MIP6_HOA.find(attributes)
    home_address = None if home is None else _from_link("MIP6-HOA", home)[0]
    return Assignment(home_agent, length, home_address, d.MIP6_HA_FQDN.join(attributes))


def _on_link(address: IPv6Address, length: int) -> bytes:
    """Return a reserved octet, the length of the link's prefix, and an address."""
    return bytes((0, length)) + address.packed


def _from_link(name: str, value: bytes) -> tuple[IPv6Address, int]:
    if len(value) != 18 or value[1] > 128:
        raise WireError(f"{name}: not a prefix length and an address")
    return IPv6Address(value[2:]), value[1]


def _prefix_length(value: bytes) -> int:
    if len(value) != 17 or value[0] > 128 or int.from_bytes(value[1:]) & _host_part(value[0]):
        raise WireError("MIP6-Home-Link-Prefix: not a length and a prefix with zeroes behind it")
    return value[0]


def _host_part(length: int) -> int:
    """Return the bits of an address behind a prefix of this length."""
    return (1 << 128 - length) - 1
