"""The choice of home agent and home address for one mobile node, by policy and by load."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from agents.aaa.leases import Lease, LeaseError, Leases, StoreError
from agents.aaa.policy import Place, places
from agents.aaa.selection import Fleet
from agents.aaa.subscribers import HomeAgent, Subscriber, Subscribers
from agents.bootstrap.assignment import Assignment, Wish
from agents.core.record import Record
from agents.core.unicast import is_unicast


class Choice(Record, frozen=True):
    """What was chosen; `problems` say in plain words why better places were passed over.

    Without a place there is no assignment. If a lease could not be stored, `unstored` says why:
    there is none then, or one that `lasts` so many seconds and no longer.
    """

    place: Place | None = None
    assignment: Assignment | None = None
    problems: tuple[str, ...] = ()
    unstored: str = ""
    lasts: float | None = None

    @property
    def local(self) -> bool:
        """Whether the home agent is in the visited network."""
        return self.place is Place.LOCAL


class Chooser:
    """Chooses home agents of `fleet` for subscribers, who may use them for `lifetime` seconds."""

    def __init__(
        self, subscribers: Subscribers, leases: Leases, lifetime: float, fleet: Fleet | None = None
    ) -> None:
        self._fleet = fleet or Fleet(subscribers.home_agents.values())
        self._lifetime = lifetime
        self._subscribers = subscribers
        self._leases = leases

    def choose(
        self,
        subscriber: Subscriber,
        wish: Wish | None,
        candidate: Assignment | None,
        asking: HomeAgent | None = None,
        settle: Callable[[], None] = lambda: None,
    ) -> Choice:
        """Return the choice for a subscriber who asks with `wish`, None if for no home agent.

        `candidate` is what the visited network offers; `asking` a home agent that the subscriber
        has turned to by itself, which is that or none. `settle` has nothing wait for the leases'
        `commit` any more: it is called when something cannot be stored together with what does.
        """
        order = places(wish, offered=candidate is not None, subscription=subscriber.subscription)
        if wish is not None and not order:
            return Choice(problems=("the subscription has no mobility service",))
        problems: list[str] = []
        unstored = ""
        for place in order:
            try:
                if place is Place.HOME or candidate is None:
                    return self._lease(subscriber, asking, tuple(problems), settle)
                return Choice(place, self._accept(candidate), tuple(problems))
            except LeaseError as error:
                problems.append(str(error))
                unstored = str(error) if isinstance(error, StoreError) else unstored
        return Choice(problems=tuple(problems), unstored=unstored)

    def _lease(
        self,
        subscriber: Subscriber,
        asking: HomeAgent | None,
        problems: tuple[str, ...],
        settle: Callable[[], None],
    ) -> Choice:
        """Return the best home agent's assignment that can be had; raises LeaseError."""
        reserved = self._subscribers.reserved(subscriber)
        problem = LeaseError("no home agent can serve this subscriber")
        with suppress(StoreError):  # Leases that are over still hold their addresses then.
            self._leases.expire()
        for agent in self._fleet.candidates(subscriber, self._leases):
            if asking is not None and agent.name != asking.name:
                continue
            if (addresses := subscriber.addresses(agent)) is None:
                continue
            give = partial(
                self._leases.lease,
                subscriber.identity,
                agent.name,
                addresses,
                reserved,
                self._lifetime,
            )
            try:
                lease = self._alone(give, settle)
            except LeaseError as error:
                problem = error
                continue
            prefix_length = agent.prefix.prefixlen
            given = Assignment(agent.address, prefix_length, lease.address, agent.host)
            return Choice(Place.HOME, given, problems, lease.unstored, lease.lasts)
        raise problem

    def _alone(self, give: Callable[[], Lease], settle: Callable[[], None]) -> Lease:
        """Return a lease, if need be alone: amid others' it is not known what is stored of it."""
        try:
            return give()
        except StoreError:
            if not self._leases.pending:
                raise
        settle()
        return give()

    def _accept(self, candidate: Assignment) -> Assignment:
        """Return the visited network's candidate as it is; raises LeaseError if it cannot be.

        The addresses of its home link are the visited network's to give. It proposes a home
        address with the candidate, or leaves it to IKEv2 or to the mobile node's own forming
        (RFC 5026 section 5.3): then the assignment has none.
        """
        link = IPv6Network((candidate.home_agent, candidate.prefix_length), strict=False)
        what = f"the visited network's home agent {candidate.home_agent}"
        if not is_unicast(candidate.home_agent):
            raise LeaseError(f"{what} is not a global unicast address")
        for agent in self._subscribers.home_agents.values():
            if link.overlaps(agent.prefix):
                raise LeaseError(f"{what} claims the home link {agent.prefix} of {agent.name}")
        if candidate.home_address is not None:
            _check_home_address(candidate.home_address, candidate.home_agent, link)
        return candidate


def _check_home_address(address: IPv6Address, home_agent: IPv6Address, link: IPv6Network) -> None:
    if address not in link or address in (home_agent, link.network_address):
        raise LeaseError(
            f"the visited network's home address {address} is no host address inside {link}"
        )
