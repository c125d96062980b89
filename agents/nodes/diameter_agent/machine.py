"""A Diameter agent in its host (RFC 6733 sections 2.8.1 and 2.8.3)."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.record import replace
from agents.diameter.config import NodeConfig
from agents.nodes.diameter import DiameterService
from agents.nodes.diameter_agent.settings import DiameterAgentConfiguration
from agents.nodes.diameter_settings import node_config
from agents.nodes.opening import Opening


class DiameterAgent:
    """Relays requests and answers between its peers, or redirects them.

    It is ready when it listens, for it has an answer at any time: 3002 where nobody is there to
    take a request. `epoch` is the time of day in seconds at the start.
    """

    def __init__(
        self, configuration: DiameterAgentConfiguration, host: Host, log: EventLog, *, epoch: int
    ) -> None:
        self._service = DiameterService(
            host,
            agent_config(configuration, epoch),
            on_event=log.child("diameter"),
            listen=[(configuration.address, configuration.port)],
        )
        self._opening = Opening(host, self._service.start, log)

    def start(self, ready: Callable[[], None]) -> None:
        """Listen, as soon as the address is to be had, and connect; tell when it listens."""
        self._opening.start(ready)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Disconnect, and tell when that is done."""
        self._opening.close()
        self._service.stop(stopped)


def agent_config(configuration: DiameterAgentConfiguration, epoch: int) -> NodeConfig:
    """Return the configuration of its Diameter node."""
    config = node_config(
        configuration.diameter_identity,
        configuration.diameter_realm,
        configuration.peers,
        tls=configuration.tls is not None,
        applications=(),
        watchdog=configuration.diameter_watchdog,
        routes=configuration.routes,
        epoch=epoch,
    )
    redirects = tuple(redirect.config() for redirect in configuration.redirects)
    return replace(config, relay=not redirects, redirects=redirects)
