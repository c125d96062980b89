"""Where a request goes: to this node, or to which peers (RFC 6733 sections 6.1.4 to 6.1.6)."""

from __future__ import annotations

from agents.core.folding import ascii_lower
from agents.diameter import dictionary as d
from agents.diameter.config import NodeConfig, same_identity
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.peer import Peer
from agents.diameter.wire import Message


class Routing:
    """The peer table, by Origin-Host in lower case, and the realm table over it."""

    def __init__(self, config: NodeConfig, peers: dict[str, Peer]) -> None:
        self._config = config
        self._peers = peers

    def is_local(self, message: Message) -> bool:
        """Tell whether this node is to answer a request; raises DiameterError."""
        host = d.DESTINATION_HOST.find(message.avps)
        realm = d.DESTINATION_REALM.find(message.avps)
        if host is None:
            return realm is None or same_identity(realm, self._config.realm)
        if realm is None:
            reason = "a Destination-Host without a Destination-Realm"
            raise DiameterError(reason, ResultCode.UNABLE_TO_DELIVER)
        return same_identity(host, self._config.host)

    def is_for_us(self, message: Message) -> bool:
        """Tell whether a request names this node."""
        host = d.DESTINATION_HOST.find(message.avps)
        return host is not None and same_identity(host, self._config.host)

    def has_other(self, message: Message, host: str) -> bool:
        """Tell whether a request is for the host alone, whose realm has another peer to take it."""
        wanted, realm = (
            d.DESTINATION_HOST.find(message.avps),
            d.DESTINATION_REALM.find(message.avps),
        )
        if wanted is None or realm is None or not same_identity(wanted, host):
            return False
        others = [p for p in self.peers_of(realm) if not same_identity(p.config.host, host)]
        return bool(usable(others, message.application))

    def peers_of(self, realm: str) -> list[Peer]:
        """Return the peers that a realm's requests may take, best first."""
        explicit = self._route(realm)
        if explicit is not None:
            return explicit
        peers = self._peers.values()
        own = [p for p in peers if same_identity(p.config.realm, realm)]
        return own or [p for p in peers if p.config.relays_for(realm)] or self._route("*") or []

    def _route(self, realm: str) -> list[Peer] | None:
        routes = [route for route in self._config.routes if same_identity(route.realm, realm)]
        if not routes:
            return None
        names = [ascii_lower(name) for route in routes for name in route.peers]
        return [self._peers[name] for name in names if name in self._peers]

    def candidates(self, message: Message) -> list[Peer]:
        """Return the peers that may take a request; raises DiameterError if there are none."""
        host = d.DESTINATION_HOST.find(message.avps)
        realm = d.DESTINATION_REALM.find(message.avps)
        if host is not None and (peer := self._peers.get(ascii_lower(host))) is not None:
            return [peer]
        if realm is None:
            raise DiameterError("no Destination-Realm", ResultCode.UNABLE_TO_DELIVER)
        peers = self.peers_of(realm)
        if not peers:
            reason = f"no route to realm {realm!r}"
            raise DiameterError(reason, ResultCode.REALM_NOT_SERVED)
        return peers

    def open_peers(self, message: Message) -> list[Peer]:
        """Return the candidates that are open for a request now, best first; raises as above."""
        return usable(self.candidates(message), message.application)


def usable(peers: list[Peer], application: int) -> list[Peer]:
    """Return those that are open, suspect and reopened ones last.

    RFC 3539 throws messages away until a reopened connection has answered three watchdogs. A
    node with one peer would be cut off for a minute and a half: it is used if none is better.
    """
    found = [peer for peer in peers if peer.connection is not None and peer.serves(application)]
    return sorted(found, key=lambda peer: not peer.healthy)
