"""Which home agent serves a subscriber."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from agents.aaa.leases import Leases
from agents.aaa.subscribers import HomeAgent, Subscriber

Strategy: TypeAlias = Literal["least-loaded", "weighted"]
"""Whether a home agent's load counts as it is, or divided by its weight."""


class Fleet:
    """The home agents and their states.

    | a home agent that | new subscribers | those that it has |
    |---|---|---|
    | serves | the least loaded one | stay |
    | is full | none | stay |
    | drains | none | move when they authenticate; stay if they have nowhere else |
    | has failed | none | move when they authenticate |

    A subscriber that is pinned to one home agent has that or none. `failed` tells whether a home
    agent is known to be out of reach. The load is the number of leases, which is known here, or of
    home addresses in use as the home agent has told, if that is more: by lying it can get less to
    do, and not more.
    """

    def __init__(
        self,
        agents: Iterable[HomeAgent],
        strategy: Strategy = "least-loaded",
        failed: Callable[[HomeAgent], bool] = lambda _: False,
    ) -> None:
        self._agents = {agent.name: agent for agent in agents}
        self._drained = {name for name, agent in self._agents.items() if agent.state == "drain"}
        self._strategy = strategy
        self._failed = failed
        self._told: dict[str, int] = {}

    def drain(self, name: str) -> bool:
        """Give a home agent nobody new; return whether there is such a one."""
        if name not in self._agents:
            return False
        self._drained.add(name)
        return True

    def undrain(self, name: str) -> bool:
        """Let a home agent serve again; return whether there is such a one."""
        self._drained.discard(name)
        return name in self._agents

    def tell(self, name: str, used: int) -> None:
        """Note how many home addresses are in use at a home agent, as it says."""
        self._told[name] = used

    def candidates(self, subscriber: Subscriber, leases: Leases) -> list[HomeAgent]:
        """Return the home agents that may serve a subscriber now, the best first.

        Among equals the file's order decides.
        """
        agents = subscriber.home_agents
        if len(agents) == 1 and agents[0].capacity is None and not self._drained:
            return [agent for agent in agents if not self._failed(agent)]
        load = leases.load()
        held = leases.find(subscriber.identity)
        own = held.home_agent if held else None

        def used(agent: HomeAgent) -> int:
            return max(load.get(agent.name, 0), self._told.get(agent.name, 0))

        def may_serve(agent: HomeAgent) -> bool:
            if self._failed(agent):
                return False
            has_room = agent.capacity is None or used(agent) < agent.capacity
            return agent.name == own or (has_room and agent.name not in self._drained)

        def rank(agent: HomeAgent) -> tuple[bool, bool, float]:
            weight = agent.weight if self._strategy == "weighted" else 1.0
            return agent.name in self._drained, agent.name != own, used(agent) / weight

        return sorted(filter(may_serve, agents), key=rank)
