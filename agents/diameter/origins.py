"""In whose name a peer may speak: its own, and that of nodes behind it if it is a relay.

RFC 6733 has every relay append the identity of the peer that it got a request from (section 6.1.9,
6.7.1). So a request without Route-Record is its sender's own, the first Route-Record is what the
Origin-Host says, and the home server checks that it accepts the route (section 2.9).
"""

from __future__ import annotations

from collections.abc import Callable

from agents.diameter import dictionary as d
from agents.diameter.config import PeerConfig, same_identity
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.wire import Message

Known = Callable[[str], PeerConfig | None]
"""Returns the peer that an identity is of, if it is one's."""


def check_own(message: Message, peer: PeerConfig) -> None:
    """Raise DiameterError INVALID_AVP_VALUE unless a message is in its sender's own name."""
    host, realm = d.ORIGIN_HOST.need(message.avps), d.ORIGIN_REALM.need(message.avps)
    for definition, said, right in (
        (d.ORIGIN_HOST, host, peer.host),
        (d.ORIGIN_REALM, realm, peer.realm),
    ):
        if not same_identity(said, right):
            reason = f"{peer.host!r} of {peer.realm!r} speaks as {said!r}"
            code = ResultCode.INVALID_AVP_VALUE
            raise DiameterError(reason, code, failed=definition.avp(said))


def check_request(message: Message, peer: PeerConfig, known: Known) -> None:
    """Raise DiameterError unless `peer` may send a request in this name, by this route.

    Each relay notes from whom it has a request (RFC 6733 section 6.1.9), and vouches for no more
    than that: who is on the route behind the first has to be a relay itself.
    """
    route = d.ROUTE_RECORD.find_all(message.avps)
    if not route:
        check_own(message, peer)
        return
    host, realm = d.ORIGIN_HOST.need(message.avps), d.ORIGIN_REALM.need(message.avps)
    if not same_identity(host, route[0]):
        reason = f"a request of {host!r} whose route begins with {route[0]!r}"
        raise DiameterError(reason, ResultCode.AUTHORIZATION_REJECTED)
    for name in route[1:]:
        relay = known(name)
        if relay is None or not relay.relays_for(realm):
            reason = f"{name!r}, on the route of a request of {host!r}, is no relay for it"
            raise DiameterError(reason, ResultCode.AUTHORIZATION_REJECTED)
    _check_relayed(host, realm, peer, known)


def check_answer(message: Message, peer: PeerConfig, known: Known) -> None:
    """Raise DiameterError unless `peer` may send an answer in this name.

    Answers have no Route-Record: their way is that of the request.
    """
    host, realm = d.ORIGIN_HOST.need(message.avps), d.ORIGIN_REALM.need(message.avps)
    if not same_identity(host, peer.host):
        _check_relayed(host, realm, peer, known)


def _check_relayed(host: str, realm: str, peer: PeerConfig, known: Known) -> None:
    if not peer.relays_for(realm):
        reason = f"{peer.host!r} relays nothing for realm {realm!r}"
        raise DiameterError(reason, ResultCode.AUTHORIZATION_REJECTED)
    origin = known(host)
    if origin is not None and not same_identity(origin.realm, realm):
        reason = f"{host!r} is of realm {origin.realm!r}, not of {realm!r}"
        raise DiameterError(reason, ResultCode.AUTHORIZATION_REJECTED)
