"""What Diameter says about the home agent: wish, offer, grant (RFC 5447 section 4.2).

| mobile node wants | network has a local HA | MIP6-Feature-Vector | MIP6-Agent-Info |
|-------------------|------------------------|---------------------|-----------------|
| nothing           | either                 | not sent            | not sent        |
| a home HA         | either                 | INTEGRATED          | not sent        |
| a local HA        | no                     | INTEGRATED          | not sent        |
| a local HA        | yes                    | INTEGRATED, LOCAL   | the local HA    |
| either            | no                     | INTEGRATED          | not sent        |
| either            | yes                    | INTEGRATED, LOCAL   | the local HA    |

So LOCAL keeps RFC 5447's sense in a request: a local home agent "is requested and may be
assigned". It joins wish and offer, and does not tell a mobile node that prefers a local home agent
from one that does not mind: Home-Agent-Wish, an AVP of this project's own, does. A server that
does not know it passes it over; a NAS that does not send it is taken at its Feature-Vector's word.

RFC 5447 has no AVP for a home address. MIP-Mobile-Node-Address (RFC 4004, RFC 5778 section 6.6)
carries the one that the server assigns, and in a request the one that the network of a local home
agent proposes with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.record import Record, replace
from agents.core.unicast import is_unicast
from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.values import Definition, IPAddress
from agents.diameter.wire import Avp

DEFAULT_PREFIX_LENGTH = 64
UNSPECIFIED = IPv6Address("::")

_INTEGRATED = int(d.Mip6Feature.MIP6_INTEGRATED)
_LOCAL = int(d.Mip6Feature.LOCAL_HOME_AGENT_ASSIGNMENT)
_WISHES = {wish.value: wish for wish in Wish}


class MobilityRequest(Record, frozen=True):
    """The three fields of a DiameterEapRequest that ask for a home agent."""

    feature_vector: int | None = None
    hint: Assignment | None = None
    wish: Wish | None = None


def mobility_request(wish: Wish | None, candidate: Assignment | None = None) -> MobilityRequest:
    """Return what the access router asks for a mobile node, by the table above.

    `wish` is None for a mobile node that asked for no home agent; `candidate` is the local home
    agent of the access network, with the home address there if the network proposes one.
    """
    if wish is None:
        return MobilityRequest()
    if wish is Wish.HOME or candidate is None:
        return MobilityRequest(_INTEGRATED, None, wish)
    return MobilityRequest(_INTEGRATED | _LOCAL, candidate, wish)


def home_agent_request(own: Assignment, proposed: IPv6Address | None) -> MobilityRequest:
    """Return what a home agent asks for the mobile node that has turned to it (RFC 5778 6.5, 6.6).

    It names itself, and the home address that it proposes or :: for one of the server's. In a
    visited network it is a local home agent and proposes one; it can give no other.
    """
    if proposed is None:
        hint = replace(own, home_address=UNSPECIFIED)
        return MobilityRequest(_INTEGRATED, hint, Wish.EITHER)
    return mobility_request(Wish.LOCAL, replace(own, home_address=proposed))


def requested_wish(request: MobilityRequest) -> Wish | None:
    """Return the wish that a request conveys to the server, None if it wants no home agent."""
    vector = request.feature_vector or 0
    if not vector & _INTEGRATED:
        return None
    if request.wish is not None:
        return request.wish
    return Wish.EITHER if vector & _LOCAL else Wish.HOME


def offered_home_agent(request: MobilityRequest) -> Assignment | None:
    """Return the local home agent that may be assigned; without LOCAL a hint is ignored."""
    return request.hint if (request.feature_vector or 0) & _LOCAL else None


def granted_features(*, home_agent: bool, local: bool) -> int:
    """Return an answer's MIP6-Feature-Vector.

    LOCAL is set only if the home agent in the answer is local: RFC 5447 lets it also authorise
    the access network to assign one, which would take the choice from the server.
    """
    if not home_agent:
        return 0
    return _INTEGRATED | _LOCAL if local else _INTEGRATED


def agent_info(assignment: Assignment) -> Avp:
    """Return the MIP6-Agent-Info of a home agent; the realm of a name is what its host is in."""
    length = assignment.prefix_length
    link = int(assignment.home_agent) & ~_host_part(length)
    prefix = bytes([length]) + link.to_bytes(16)
    info = [d.MIP_HOME_AGENT_ADDRESS.avp(assignment.home_agent)]
    if (name := assignment.home_agent_name) is not None:
        realm = name.partition(".")[2] or name
        members = (d.DESTINATION_REALM.avp(realm), d.DESTINATION_HOST.avp(name))
        info.append(d.MIP_HOME_AGENT_HOST.avp(members))
    info.append(d.MIP6_HOME_LINK_PREFIX.avp(prefix))
    return d.MIP6_AGENT_INFO.avp(tuple(info))


def assignment_avps(assignment: Assignment) -> list[Avp]:
    """Return the AVPs of a home agent and, if assigned, home address."""
    avps = [agent_info(assignment)]
    if assignment.home_address is not None:
        avps.append(d.MIP_MOBILE_NODE_ADDRESS.avp(assignment.home_address))
    return avps


def must_know(avps: Iterable[Avp]) -> list[Avp]:
    """Return AVPs with M on those of Mobile IPv6, as home agents' applications have it."""
    codes = d.MOBILE_IPV6
    return [
        replace(avp, mandatory=True) if avp.code in codes and not avp.vendor else avp
        for avp in avps
    ]


def read_assignment(avps: Iterable[Avp]) -> tuple[Assignment | None, Avp | None]:
    """Return the first home agent with an IPv6 address, and the MIP6-Agent-Info naming it.

    A home agent by name alone is passed over: the keys are bound to its address. So is an address
    that none can have, if there is another.
    """
    avps = tuple(avps)
    found = None
    for avp in d.MIP6_AGENT_INFO.among(avps):
        info = d.MIP6_AGENT_INFO.read(avp)
        home_agent = read_ipv6(d.MIP_HOME_AGENT_ADDRESS, info)
        if home_agent is not None:
            assignment = Assignment(home_agent, _prefix_length(info), None, _host_name(info))
            home_address = read_ipv6(d.MIP_MOBILE_NODE_ADDRESS, avps)
            read = replace(assignment, home_address=home_address), avp
            if is_unicast(home_agent):
                return read
            found = found or read
        elif not d.MIP_HOME_AGENT_ADDRESS.among(info):
            d.MIP_HOME_AGENT_HOST.need(info)
    return found or (None, None)


def read_ipv6(definition: Definition[IPAddress], avps: Iterable[Avp]) -> IPv6Address | None:
    """Return the first IPv6 address among the AVPs of `definition`."""
    for address in definition.find_all(avps):
        if isinstance(address, IPv6Address):
            return address
    return None


def read_wish(avps: Iterable[Avp]) -> Wish | None:
    """Return the value of Home-Agent-Wish; one that is not known counts as absent."""
    value = d.HOME_AGENT_WISH.find(avps)
    return None if value is None else _WISHES.get(value)


def _host_name(info: Iterable[Avp]) -> str | None:
    host = d.MIP_HOME_AGENT_HOST.find(info)
    return None if host is None else d.DESTINATION_HOST.need(host)


def _prefix_length(info: Iterable[Avp]) -> int:
    prefix = d.MIP6_HOME_LINK_PREFIX.find(info)
    if prefix is None:
        return DEFAULT_PREFIX_LENGTH
    link = int.from_bytes(prefix[1:])
    if len(prefix) != 17 or prefix[0] > 128 or link & _host_part(prefix[0]):
        raise DiameterError(
            "MIP6-Home-Link-Prefix: not a length and a prefix with zeroes behind it",
            ResultCode.INVALID_AVP_VALUE,
            failed=d.MIP6_HOME_LINK_PREFIX.avp(prefix),
        )
    return prefix[0]


def _host_part(length: int) -> int:
    """Return the bits of an address behind a prefix of this length."""
    return (1 << 128 - length) - 1
