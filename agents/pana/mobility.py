"""What the paper adds to PANA: Mobility-Capability and the AVPs that carry HA and home address.

Layouts follow draft-bournelle-pana-mip6-01; Home-Address is the paper's own (section 5.1), laid
out here as the 16 octets of the IPv6 address. Sealed-Assignment is the project's: octets that the
home AAA server has sealed for the mobile node, and that PANA hands on as they are.
"""

from __future__ import annotations

from enum import IntFlag
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.machine import PeerError
from agents.pana.wire import Avp, AvpName, Message

VENDOR_ID = 32473
"""The enterprise number reserved for examples (RFC 5612).

The drafts left the codes "to be assigned", and RFC 5191 points AVPs outside the IETF's space to a
Vendor-Id. The project owns no enterprise number, so it takes the one that can be nobody's.
"""


class MobilityCapability(IntFlag):
    """Mobility services offered in the start request and wanted in its answer.

    Value 1 is the draft's. The paper names the other services and the choice between a local home
    agent and one of the home domain, but gives them no value: these bits are the project's.
    """

    MOBILE_IPV6 = 1
    MOBILE_IPV4 = 2
    HIP = 4
    LOCAL_HOME_AGENT = 8
    HOME_DOMAIN_HOME_AGENT = 16


SERVICES = MobilityCapability.MOBILE_IPV6 | MobilityCapability.MOBILE_IPV4 | MobilityCapability.HIP
"""The bits that name a service; the others are wishes about it."""


def agree(offered: MobilityCapability, wanted: MobilityCapability) -> MobilityCapability:
    """Return the wanted services that are offered, with the wishes; nothing if none is offered."""
    services = offered & wanted & SERVICES
    return services | (wanted & ~SERVICES) if services else MobilityCapability(0)


def read_capability(message: Message) -> MobilityCapability:
    """Return the message's Mobility-Capability, no bits if it has none."""
    return MobilityCapability(message.number(AvpName.MOBILITY_CAPABILITY) or 0)


def assignment_avps(assignment: Assignment) -> tuple[Avp, ...]:
    """Return the AVPs that carry HA, and its name and the home address if there are any."""
    home_agent = assignment.prefix_length.to_bytes(2) + assignment.home_agent.packed
    avps: tuple[Avp, ...] = (Avp(AvpName.HOME_AGENT_ADDRESS, home_agent),)
    if assignment.home_agent_name is not None:
        avps += (Avp(AvpName.HOME_AGENT_FQDN, assignment.home_agent_name.encode()),)
    if assignment.home_address is not None:
        avps += (Avp(AvpName.HOME_ADDRESS, assignment.home_address.packed),)
    return avps


def read_assignment(message: Message) -> Assignment | None:
    """Return the HA and home address of a message, None if it names no HA."""
    value = message.value(AvpName.HOME_AGENT_ADDRESS)
    if value is None:
        return None
    prefix_length = int.from_bytes(value[:2])
    if prefix_length > 128:
        raise PeerError(f"home-link prefix length {prefix_length} is over 128")
    home_address = message.value(AvpName.HOME_ADDRESS)
    name = message.value(AvpName.HOME_AGENT_FQDN)
    return Assignment(
        IPv6Address(value[2:]),
        prefix_length,
        None if home_address is None else IPv6Address(home_address),
        None if name is None else name.decode("utf-8", "replace"),
    )
