"""Redirection: whom a redirect agent names, and for what and how long (RFC 6733 6.1.8, 6.12-6.14).

A redirect agent says which host serves a realm; it vouches for nobody. Whoever follows it does so
to peers of its own configuration that serve the realm, and for realms alone in which it trusts
that agent: the word of any other is a refusal.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable

from agents.core.folding import ascii_lower
from agents.core.record import Record
from agents.diameter import dictionary as d
from agents.diameter.config import Redirect, same_identity
from agents.diameter.dictionary import RedirectHostUsage as Usage
from agents.diameter.peer import Peer
from agents.diameter.wire import Avp, Message

_MAXIMUM = 1024
"""Redirections that are kept; the oldest gives way."""

_URI = re.compile(
    r"aaas?://(?P<host>[^:;/]+)(:[0-9]{1,5})?(;transport=(tcp|sctp|udp))?(;protocol=diameter)?",
    re.IGNORECASE,
)
"""A DiameterURI (RFC 6733 section 4.3.1) of Diameter: transport and port are a peer's own."""


def uri_host(uri: str) -> str | None:
    """Return the host of a DiameterURI, None if it is none of Diameter's."""
    found = _URI.fullmatch(uri)
    return found["host"] if found else None


def redirect_of(redirects: tuple[Redirect, ...], realm: str) -> Redirect | None:
    """Return what a redirect agent says of a realm."""
    return next((one for one in redirects if same_identity(one.realm, realm)), None)


def redirect_avps(redirect: Redirect, *, tls: bool) -> tuple[Avp, ...]:
    """Return what an answer with DIAMETER_REDIRECT_INDICATION says beside that."""
    scheme = "aaas" if tls else "aaa"
    avps = tuple(d.REDIRECT_HOST.avp(f"{scheme}://{host}") for host in redirect.hosts)
    if redirect.usage == Usage.DONT_CACHE:
        return avps
    return (
        *avps,
        d.REDIRECT_HOST_USAGE.avp(redirect.usage),
        d.REDIRECT_MAX_CACHE_TIME.avp(redirect.cache_time),
    )


class _Cached(Record, frozen=True):
    """By whom requests are redirected to which hosts, and until when."""

    by: str
    hosts: tuple[str, ...]
    until: float


_KEYS: dict[int, Callable[[Message, str], tuple[Hashable, ...]]] = {
    Usage.ALL_SESSION: lambda request, _: (d.SESSION_ID.find(request.avps),),
    Usage.ALL_USER: lambda request, _: (d.USER_NAME.find(request.avps),),
    Usage.REALM_AND_APPLICATION: lambda request, _: (_realm(request), request.application),
    Usage.ALL_REALM: lambda request, _: (_realm(request),),
    Usage.ALL_APPLICATION: lambda request, _: (request.application,),
    Usage.ALL_HOST: lambda _, by: (ascii_lower(by),),
}
"""What requests of a usage have in common, in the order in which usages count (section 6.13)."""


def _realm(request: Message) -> str | None:
    realm = d.DESTINATION_REALM.find(request.avps)
    return realm and ascii_lower(realm)


class Redirections:
    """What redirect agents have said, as long as it counts."""

    def __init__(self, peers: dict[str, Peer]) -> None:
        self._peers = peers
        self._cached: OrderedDict[tuple[Hashable, ...], _Cached] = OrderedDict()

    def take(self, request: Message, answer: Message, by: str, now: float) -> list[Peer]:
        """Return to which peers an answer redirects a request, and keep that if it says so.

        There are none where `by` is not trusted to redirect for the realm, or names strangers only.
        """
        named = map(uri_host, d.REDIRECT_HOST.find_all(answer.avps))
        hosts = tuple(ascii_lower(host) for host in named if host)
        usage = d.REDIRECT_HOST_USAGE.find(answer.avps) or Usage.DONT_CACHE
        seconds = d.REDIRECT_MAX_CACHE_TIME.find(answer.avps) or 0
        found = self._trusted(_Cached(by, hosts, now + seconds), request)
        if found and seconds and (common := _KEYS.get(usage)):
            key = (usage, *common(request, by))
            self._cached[key] = _Cached(by, hosts, now + seconds)
            self._cached.move_to_end(key)
            while len(self._cached) > _MAXIMUM:
                self._cached.popitem(last=False)
        return found

    def find(self, request: Message, first: str, now: float) -> list[Peer]:
        """Return where a request goes that would go to the peer `first`; none: to that."""
        for usage, common in _KEYS.items() if self._cached else ():
            key = (usage, *common(request, first))
            known = self._cached.get(key)
            if known is not None and known.until <= now:
                del self._cached[key]
            elif known is not None and (found := self._trusted(known, request)):
                return found
        return []

    def forget(self, host: str) -> None:
        """Forget what names a host that is no longer reachable (RFC 6733 section 6.14)."""
        gone = [key for key, known in self._cached.items() if ascii_lower(host) in known.hosts]
        for key in gone:
            del self._cached[key]

    def _trusted(self, said: _Cached, request: Message) -> list[Peer]:
        """Return the peers that serve the request's realm, if who names them may do so."""
        realm, agent = _realm(request), self._peers.get(ascii_lower(said.by))
        if realm is None or agent is None or not agent.config.redirects_for(realm):
            return []
        known = (self._peers.get(host) for host in said.hosts)
        return [peer for peer in known if peer is not None and peer.config.serves_realm(realm)]
