"""Which home agent serves a subscriber."""

from __future__ import annotations

from agents.aaa.leases import Leases
from agents.aaa.subscribers import HomeAgent, Subscriber


def least_loaded(subscriber: Subscriber, leases: Leases) -> list[HomeAgent]:
    """Return the home agents that may serve a subscriber now, the best first.

    That is the one that the subscriber's lease names, then those with fewer leases. Among equals
    the file's order decides. A subscriber with a fixed home agent has that only. A home agent whose
    capacity is used up serves nobody but its own.
    """
    agents = subscriber.home_agents
    if len(agents) == 1 and agents[0].capacity is None:
        return list(agents)
    load = leases.load()
    held = leases.find(subscriber.identity)

    def has_room(agent: HomeAgent) -> bool:
        if agent.capacity is None or (held is not None and held.home_agent == agent.name):
            return True
        return load.get(agent.name, 0) < agent.capacity

    def rank(agent: HomeAgent) -> tuple[bool, int]:
        return held is None or held.home_agent != agent.name, load.get(agent.name, 0)

    return sorted(filter(has_room, agents), key=rank)
