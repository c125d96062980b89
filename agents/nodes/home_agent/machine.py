"""The home agent apart from the AAA server (RFC 5778); the paper's is a part of `home_network`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agents.core.configuration import Commands
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.diameter.dictionary import APPLICATION_IKE_SK, APPLICATION_MIP6_IKE
from agents.diameter.wire import Message
from agents.ikev2.config import Credentials
from agents.kernel.port import HomeAgentKernel
from agents.nodes.aaa_client import AaaClient
from agents.nodes.home_agent.accounting import BindingAccounting
from agents.nodes.home_agent.authenticator import EapAuthenticator
from agents.nodes.home_agent.key_client import KeyClient
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentConfiguration
from agents.nodes.opening import Opening


class HomeAgentNode:
    """A home agent apart from the AAA server (RFC 5778): binding cache, IKE, Diameter client.

    `credentials` are what IKEv2 shows and trusts if it authenticates by EAP, `epoch` the time of
    day in seconds at the start.
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
        self._client = AaaClient(
            configuration,
            host,
            log,
            epoch=epoch,
            handler=self._serve,
            application=APPLICATION_MIP6_IKE if configuration.by_eap else APPLICATION_IKE_SK,
        )
        self._accounting = None
        if configuration.accounting:
            told = log.child("accounting")
            self._accounting = BindingAccounting(
                host, self._client, self._home_agent, told, epoch=epoch
            )
        self._authenticator: EapAuthenticator | KeyClient
        if configuration.by_eap:
            self._authenticator = EapAuthenticator(
                host, configuration, self._client, self._home_agent, log, credentials=credentials
            )
        else:
            self._authenticator = KeyClient(
                host, configuration, self._client, self._home_agent, log
            )
        if self._accounting:
            self._authenticator.on_granted = self._accounting.grant
        self._opening = Opening(host, self._open, log)

    def _serve(self, message: Message) -> Message:
        """Answer the AAA server, which may want a session to end, or to be asked about it."""
        return self._client.serve(message, self._authenticator.orders, self._authenticator.obey)

    def commands(self) -> Commands:
        """What may be asked of this host while it runs."""
        return {"prefix": self._home_agent.command_prefix}

    def start(self, ready: Callable[[], None]) -> None:
        """Open the sockets and connect to the home AAA server, however long that takes."""
        self._opening.start(partial(self._client.start, ready))

    def _open(self) -> None:
        self._home_agent.open()
        self._authenticator.open()

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets and disconnect; tell when that is done."""
        if self._accounting:
            self._accounting.end_all()  # The kernel counts no more in a moment.
        self._opening.close()
        self._authenticator.close()
        self._home_agent.close()
        left = partial(self._client.stop, stopped)
        if self._accounting:
            self._accounting.finish(left)
        else:
            left()
