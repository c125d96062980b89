"""The home agent apart from the AAA server (RFC 5778); the paper's is a part of `home_network`."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.ikev2.config import Credentials
from agents.kernel.port import HomeAgentKernel
from agents.nodes.aaa_client import AaaClient
from agents.nodes.home_agent.authenticator import EapAuthenticator
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentConfiguration


class HomeAgentNode:
    """A home agent apart from the AAA server (RFC 5778): binding cache, IKEv2, Diameter client.

    `credentials` are what IKEv2 shows and trusts, `epoch` the time of day in seconds at the start.
    """

    def __init__(
        self,
        configuration: HomeAgentConfiguration,
        host: Host,
        kernel: HomeAgentKernel,
        log: EventLog,
        *,
        credentials: Credentials,
        epoch: int,
    ) -> None:
        self._home_agent = HomeAgentService(host, kernel, configuration.home_agent, log)
        self._client = AaaClient(configuration, host, log, epoch=epoch)
        self._authenticator = EapAuthenticator(
            host, configuration, self._client, self._home_agent, log, credentials=credentials
        )

    def start(self, ready: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Connect to the home AAA server; tell when that is done, or that it cannot be."""
        self._client.start(ready, failed)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets and disconnect; tell when that is done."""
        self._authenticator.close()
        self._home_agent.close()
        self._client.stop(stopped)
