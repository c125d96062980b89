"""Home addresses and prefixes in configuration payloads (RFC 5026 sections 5.3 and 8.2)."""

from __future__ import annotations

from ipaddress import IPv6Network

from agents.core.machine import PeerError
from agents.ikev2.config import Grant
from agents.ikev2.constants import ConfigAttribute, ConfigType, NotifyType, PayloadType
from agents.ikev2.events import AddressAssigned
from agents.ikev2.grammar import Contents
from agents.ikev2.payloads import (
    Configuration,
    Notification,
    address_attribute,
    prefix_attribute,
)
from agents.ikev2.sa import IkeSa
from agents.ikev2.wire import Payload


def request_payload() -> Payload:
    """Return what asks for a home address and the home prefix."""
    wanted = (ConfigAttribute.INTERNAL_IP6_ADDRESS, ConfigAttribute.MIP6_HOME_PREFIX)
    request = Configuration(ConfigType.REQUEST, tuple((w, b"") for w in wanted))
    return Payload(PayloadType.CP, request.encode())


def assignment(sa: IkeSa, contents: Contents, now: float) -> AddressAssigned | None:
    """Return the home address and prefix that the responder has assigned (RFC 5026 section 5.3)."""
    if not contents.has(PayloadType.CP):
        return None
    reply = Configuration.decode(contents.get(PayloadType.CP))
    if reply.kind != ConfigType.REPLY:
        return None
    assigned, home = reply.address, reply.home_prefix
    prefix: IPv6Network | None = home[0] if home else None
    if prefix is None and assigned is not None:
        prefix = IPv6Network(assigned, strict=False)
    address = assigned[0] if assigned else None
    return AddressAssigned(now, sa.peer, address, prefix, home[1] if home else None)


def config_request(contents: Contents) -> Configuration | None:
    """Return what the initiator asks for, None if nothing."""
    if not contents.has(PayloadType.CP):
        return None
    request = Configuration.decode(contents.get(PayloadType.CP))
    return request if request.kind == ConfigType.REQUEST else None


def config_reply(wanted: Configuration, grant: Grant | None) -> list[Payload]:
    """Return the home address and prefix, as far as they are asked for (RFC 5026 section 5.3).

    A peer that wants to choose its address from the prefix is told to take the assigned one.
    """
    by_address = wanted.asks_for(ConfigAttribute.INTERNAL_IP6_ADDRESS)
    by_prefix = wanted.asks_for(ConfigAttribute.MIP6_HOME_PREFIX)
    if not by_address and not by_prefix:
        return []
    if grant is None:
        raise PeerError("no home address to assign", NotifyType.INTERNAL_ADDRESS_FAILURE)
    attributes = [address_attribute(grant.home_address, grant.prefix_length)]
    if by_prefix:
        prefix = IPv6Network((grant.home_address, grant.prefix_length), strict=False)
        attributes.append(prefix_attribute(prefix, grant.prefix_lifetime))
    reply = [Payload(PayloadType.CP, Configuration(ConfigType.REPLY, tuple(attributes)).encode())]
    if not by_address:
        reply.append(Notification(NotifyType.USE_ASSIGNED_HOA).payload())
    return reply
