"""Incoming connections whose peer is not known yet: from where, how many, for how long."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address

from agents.core.quotas import Quotas, Share
from agents.diameter.config import NodeConfig
from agents.diameter.values import IPAddress

MAXIMUM_FIRST_MESSAGE = 1 << 13
"""Octets of a CER; those of a node with dozens of applications have about 2,000."""

_PREFIX_LENGTH = 64
"""A host can have any address of its link's prefix (RFC 4291 section 2.5.4)."""


class Newcomers:
    """The connections that have sent no CER.

    Each has `timers.capabilities` seconds for TLS and CER. The newest of a host displaces its
    oldest, so that neither a flood nor what is left of a connection that died keeps the host out.
    Those from addresses of peers do not compete with strangers, for whom the node is open only
    where a certificate, or nothing, says who they are.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._known = frozenset(a for peer in config.peers for a in peer.origins(tls=config.tls))
        self._open = config.accept_unknown or (
            config.tls and any(not peer.sources for peer in config.peers)
        )
        self._quotas: Quotas[int] = Quotas()
        # They all have the same time: the order in which they came is that of their deadlines.
        self._deadlines: OrderedDict[int, float] = OrderedDict()

    def admits(self, source: IPAddress) -> bool:
        """Tell whether a connection from `source` may be a peer's."""
        return self._open or source in self._known

    def enter(self, connection: int, source: IPAddress, now: float) -> list[int]:
        """Take a connection, and return those that it displaces."""
        displaced = self._quotas.enter(connection, self._shares(source))
        for old in displaced:
            del self._deadlines[old]
        self._deadlines[connection] = now + self._config.timers.capabilities
        return displaced

    def leave(self, connection: int) -> None:
        """Forget a connection, if it is one of these."""
        self._quotas.leave(connection)
        self._deadlines.pop(connection, None)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return next(iter(self._deadlines.values()), None)

    def expired(self, now: float) -> list[int]:
        """Return the connections whose time is over."""
        found = []
        for connection, deadline in self._deadlines.items():
            if deadline > now:
                break
            found.append(connection)
        return found

    def _shares(self, source: IPAddress) -> tuple[Share, ...]:
        limit = self._config.newcomers_per_host
        if source in self._known:
            return (Share(source, limit),)
        everybody = Share("strangers", self._config.strangers)
        if isinstance(source, IPv6Address):
            return Share(("link", int(source) >> (128 - _PREFIX_LENGTH)), limit), everybody
        return Share(source, limit), everybody
