"""Subscribers and home agents, read from a TOML file and checked before anything starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agents.aaa.policy import Place, Subscription
from agents.aaa.share import WHOLE, Share, reserved
from agents.core import documents
from agents.core.documents import DocumentError
from agents.core.folding import ascii_lower
from agents.core.record import Record, replace
from agents.core.unicast import is_unicast
from agents.eap.names import canonical_identity


class SubscribersError(ValueError):
    """A file of subscribers that cannot be used; the text says where and what to do."""


class AddressRange(Record, frozen=True):
    """Home addresses from `first` to `last`, both included."""

    first: IPv6Address
    last: IPv6Address

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv6Address) and self.first <= address <= self.last

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    @classmethod
    def parse(cls, text: str) -> AddressRange:
        """Read "first-last", a prefix, or one address; raises ValueError.

        A prefix does not stand for its first address, which is the routers' anycast address
        (RFC 4291 section 2.6.1).
        """
        if "-" in text:
            first, _, last = text.partition("-")
            result = cls(IPv6Address(first.strip()), IPv6Address(last.strip()))
        else:
            network = IPv6Network(text.strip())
            first_address = network.network_address + (network.prefixlen < 127)
            result = cls(first_address, network.broadcast_address)
        if result.first > result.last:
            raise ValueError("its last address lies before its first")
        return result


State: TypeAlias = Literal["serve", "drain"]


class HomeAgent(Record, frozen=True):
    """A home agent, its home link's prefix, and the pool for subscribers without their own.

    `host` is its fully qualified domain name, and its Diameter identity if it is on a host of its
    own; no more than `capacity` subscribers lease there. `weight` is its strength beside others'
    (`agents.aaa.selection`), `state` what it begins with.
    """

    name: str
    address: IPv6Address
    prefix: IPv6Network
    pool: AddressRange | None = None
    host: str | None = None
    capacity: int | None = None
    weight: float = 1.0
    state: State = "serve"


class Subscriber(Record, frozen=True):
    """What one subscriber may have.

    `home_agents` are those that can serve it, one if that is fixed; none without mobility.
    `local_home_agent` allows one in a visited network; `prefer` counts where both may be had.
    """

    identity: str
    mobility: bool
    home_agents: tuple[HomeAgent, ...]
    home_address: IPv6Address | None = None
    pool: AddressRange | None = None
    local_home_agent: bool = False
    prefer: Place = Place.HOME

    @property
    def subscription(self) -> Subscription:
        """The column of the policy that this subscriber is in."""
        if not self.mobility:
            return Subscription.NO_MOBILITY
        if not self.local_home_agent:
            return Subscription.HOME_ONLY
        if self.prefer is Place.LOCAL:
            return Subscription.RATHER_LOCAL
        return Subscription.RATHER_HOME

    def addresses(self, home_agent: HomeAgent) -> AddressRange | None:
        """Return the home addresses that this subscriber may get at `home_agent`."""
        if self.home_address is not None:
            return AddressRange(self.home_address, self.home_address)
        return self.pool or home_agent.pool


class Subscribers:
    """All subscribers by identity, all home agents by name, and this server's share of these."""

    def __init__(
        self,
        subscribers: Iterable[Subscriber],
        home_agents: Iterable[HomeAgent],
        share: Share = WHOLE,
    ) -> None:
        self._share = share
        self._subscribers = {canonical_identity(s.identity): s for s in subscribers}
        self.home_agents = {agent.name: agent for agent in home_agents}
        self._agents = frozenset(agent.address for agent in self.home_agents.values())
        self._reserved = self._agents | {
            s.home_address for s in self._subscribers.values() if s.home_address is not None
        }

    def find(self, identity: str) -> Subscriber | None:
        """Return the subscriber of this identity; the realm's case does not matter."""
        return self._subscribers.get(canonical_identity(identity))

    def reserved(self, subscriber: Subscriber) -> Container[IPv6Address]:
        """Return the addresses that others own: home agents, and subscribers with a fixed one.

        A fixed home address is one subscriber's, and its owner gets no other. Of pools there are
        those that another server gives out.
        """
        if subscriber.home_address is not None:
            return self._agents
        return reserved(self._reserved, self._share)

    def shared(self, share: Share) -> Subscribers:
        """Return the same for a server that has a share only."""
        room = {
            agent.name: replace(agent, capacity=share.room(agent.capacity))
            for agent in self.home_agents.values()
        }
        return Subscribers(
            (
                replace(one, home_agents=tuple(room[agent.name] for agent in one.home_agents))
                for one in self._subscribers.values()
            ),
            room.values(),
            share,
        )

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(self._subscribers.values())

    def __len__(self) -> int:
        return len(self._subscribers)


class _HomeAgent(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    address: str
    prefix: str
    pool: str | None = None
    host: str | None = None
    capacity: Annotated[int, msgspec.Meta(ge=0)] | None = None
    weight: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    state: State = "serve"


class _Subscriber(msgspec.Struct, forbid_unknown_fields=True):
    identity: str
    mobility: bool = True
    home_agent: str | None = None
    home_address: str | None = None
    pool: str | None = None
    local_home_agent: bool = False
    prefer: Literal["home", "local"] = "home"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    home_agents: list[_HomeAgent] = []
    subscribers: list[_Subscriber] = []


def load(path: Path) -> Subscribers:
    """Read and check a file; raises SubscribersError."""
    try:
        text = documents.read(path)
    except DocumentError as error:
        raise SubscribersError(f"{path}: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "subscribers") -> Subscribers:
    """Check the text of a file called `name`; raises SubscribersError."""
    try:
        content = documents.fit(documents.parse_toml(text), _File)
    except DocumentError as error:
        raise SubscribersError(f"{name}: {error}") from None
    return _Check(name).file(content)


class _Check:
    """Turns the file's text values into addresses, and refuses what cannot work."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _error(self, place: str, problem: str) -> SubscribersError:
        return SubscribersError(f"{self._name}: {place}: {problem}")

    def file(self, content: _File) -> Subscribers:
        agents = [
            self._home_agent(f"home_agents[{i}]", entry)
            for i, entry in enumerate(content.home_agents)
        ]
        self._unique("home_agents", "name", [agent.name for agent in agents])
        self._unique("home_agents", "address", [str(agent.address) for agent in agents])
        self._unique("home_agents", "host", [ascii_lower(a.host) for a in agents if a.host])
        by_name = {agent.name: agent for agent in agents}
        subscribers = [
            self._subscriber(f"subscribers[{i}]", entry, by_name)
            for i, entry in enumerate(content.subscribers)
        ]
        identities = [canonical_identity(subscriber.identity) for subscriber in subscribers]
        self._unique("subscribers", "identity", identities)
        fixed = [str(s.home_address) for s in subscribers if s.home_address is not None]
        self._unique("subscribers", "home_address", fixed)
        return Subscribers(subscribers, agents)

    def _unique(self, table: str, key: str, values: list[str]) -> None:
        for value, times in Counter(values).items():
            if times > 1:
                raise self._error(table, f"{key} {value!r} is used {times} times; keep one")

    def _address(self, place: str, text: str) -> IPv6Address:
        try:
            address = IPv6Address(text)
        except ValueError:
            raise self._error(place, f"{text!r} is not an IPv6 address") from None
        if not is_unicast(address):
            raise self._error(place, f"{text!r} is not a global unicast address")
        return address

    def _home_agent(self, place: str, entry: _HomeAgent) -> HomeAgent:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", entry.name):
            raise self._error(
                f"{place}.name", f"{entry.name!r} is no name; use letters, digits, '.', '_', '-'"
            )
        address = self._address(f"{place}.address", entry.address)
        try:
            prefix = IPv6Network(entry.prefix)
        except ValueError:
            raise self._error(
                f"{place}.prefix",
                f"{entry.prefix!r} is not an IPv6 prefix such as '2001:db8:100::/64' "
                "with no bit set behind its length",
            ) from None
        if address not in prefix:
            raise self._error(
                f"{place}.address", f"{address} lies outside its own prefix {prefix}; correct one"
            )
        pool = self._pool(f"{place}.pool", entry.pool)
        if pool is not None and not (pool.first in prefix and pool.last in prefix):
            raise self._error(f"{place}.pool", f"{entry.pool!r} lies outside the prefix {prefix}")
        host = self._host(f"{place}.host", entry.host)
        return HomeAgent(
            entry.name, address, prefix, pool, host, entry.capacity, entry.weight, entry.state
        )

    def _host(self, place: str, text: str | None) -> str | None:
        if text is None:
            return None
        labels = text.removesuffix(".").split(".")
        letters = all(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", label) for label in labels)
        if len(labels) < 2 or len(text) > 253 or not letters:
            raise self._error(
                place, f"{text!r} is no fully qualified domain name such as 'ha1.home.test'"
            )
        return ".".join(labels)

    def _pool(self, place: str, text: str | None) -> AddressRange | None:
        if text is None:
            return None
        try:
            return AddressRange.parse(text)
        except ValueError as error:
            raise self._error(
                place,
                f"{text!r} is no pool: {error}; write 'first-last' or a prefix",
            ) from None

    def _subscriber(
        self, place: str, entry: _Subscriber, agents: dict[str, HomeAgent]
    ) -> Subscriber:
        identity = entry.identity
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", identity) or len(identity.encode()) > 253:
            raise self._error(
                f"{place}.identity", f"{identity!r} is not a network access identifier user@realm"
            )
        if entry.home_address is not None and entry.pool is not None:
            raise self._error(place, f"{identity} has a home_address and a pool; keep one")
        home_address = (
            None
            if entry.home_address is None
            else self._address(f"{place}.home_address", entry.home_address)
        )
        pool = self._pool(f"{place}.pool", entry.pool)
        if home_address in {agent.address for agent in agents.values()}:
            raise self._error(
                f"{place}.home_address", f"{home_address} is a home agent's; choose another"
            )
        if entry.prefer == "local" and not entry.local_home_agent:
            raise self._error(
                f"{place}.prefer",
                f"{identity} may have no local home agent; add local_home_agent = true",
            )
        candidates = self._candidates(place, entry, agents)
        wanted = AddressRange(home_address, home_address) if home_address else pool
        serving = tuple(agent for agent in candidates if self._serves(agent, wanted))
        if entry.mobility and not serving:
            raise self._error(place, self._why_unserved(entry, candidates, wanted))
        return Subscriber(
            identity,
            entry.mobility,
            serving,
            home_address,
            pool,
            entry.local_home_agent,
            Place(entry.prefer),
        )

    def _candidates(
        self, place: str, entry: _Subscriber, agents: dict[str, HomeAgent]
    ) -> list[HomeAgent]:
        if entry.home_agent is None:
            return list(agents.values())
        if entry.home_agent not in agents:
            known = ", ".join(agents) or "none"
            raise self._error(
                f"{place}.home_agent",
                f"there is no home agent {entry.home_agent!r}; those in the file: {known}",
            )
        return [agents[entry.home_agent]]

    @staticmethod
    def _serves(agent: HomeAgent, wanted: AddressRange | None) -> bool:
        if wanted is None:
            return agent.pool is not None
        network = agent.prefix.network_address
        inside = wanted.first in agent.prefix and wanted.last in agent.prefix
        return inside and not wanted.first == wanted.last == network

    @staticmethod
    def _why_unserved(
        entry: _Subscriber, candidates: list[HomeAgent], wanted: AddressRange | None
    ) -> str:
        if not candidates:
            return f"{entry.identity} has mobility, but there are no [[home_agents]]; add one"
        prefixes = ", ".join(f"{agent.prefix} of {agent.name}" for agent in candidates)
        if wanted is None:
            return (
                f"{entry.identity} has no home addresses; give it a home_address or a pool, "
                f"or its home agent a pool, inside {prefixes}"
            )
        if entry.home_address is not None:
            return f"home_address {entry.home_address} is no host address inside {prefixes}"
        return f"pool {entry.pool!r} lies outside {prefixes}"
