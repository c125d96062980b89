"""Host C: home AAA server, IKE responder and home agent."""

from __future__ import annotations

import asyncio
import os
import random
import time
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agents.aaa import subscribers
from agents.aaa.home_aaa import HomeAaa, SubscriberAuthenticated, eap_servers
from agents.aaa.leases import Leases
from agents.bootstrap import ike_psk
from agents.diameter.config import PORT
from agents.diameter.eap import DiameterEapRequest
from agents.diameter.wire import Message
from agents.eap.tls import TlsServerConfig
from agents.kernel.linux import LinuxHomeAgent
from agents.mip6.home_agent import HomeAgent
from agents.roles.diameter import DiameterPeer, diameter_files, node_config
from agents.roles.ike import IkeService, IkeSettings
from agents.roles.keylog import KeyLog
from agents.roles.launch import Launched, launch
from agents.roles.runtime import Configuration, run
from agents.roles.tls import TlsSettings
from agents.shell.eventlog import EventLog
from agents.shell.mobility import HomeAgentEndpoint
from agents.shell.tcp import DiameterService


class HomeNetworkConfiguration(Configuration, frozen=True, kw_only=True):
    """The home network's configuration; times in seconds."""

    diameter_identity: str
    diameter_realm: str
    diameter_address: str
    diameter_port: int = PORT
    diameter_tls: TlsSettings | None = None
    access_routers: list[DiameterPeer]
    subscribers: str
    leases: str
    tls: TlsSettings
    home_agent: str
    home_interface: str
    home_prefix: str
    work: str
    eap_fragment_size: int = 1000
    session_lifetime: Annotated[float, msgspec.Meta(ge=10)] = 3600.0
    duplicate_address_detection: bool = True
    launch: Literal["resident", "script"] = "resident"
    ike: IkeSettings = IkeSettings()


class HomeNetwork:
    """Joins the home AAA server with the home agent at the same place, as the paper does."""

    def __init__(self, configuration: HomeNetworkConfiguration, log: EventLog) -> None:
        self._configuration = configuration
        self._aaa_log = log.child("aaa")
        self._log = log
        self._launched: list[Launched] = []
        self._address = IPv6Address(configuration.home_agent)
        self._kernel = LinuxHomeAgent(self._address, configuration.home_interface)
        self._kernel.warm_up()
        self._kernel.prepare()
        self._timer: asyncio.TimerHandle | None = None
        self._ike: IkeService | None = None
        if configuration.launch == "resident":
            self._ike = IkeService(
                self._address,
                configuration.ike,
                identity=None,
                kernel=self._kernel,
                keys=KeyLog(None),
                log=log.child("ikev1"),
            )
        tls = TlsServerConfig(**configuration.tls.arguments())
        self._aaa = HomeAaa(
            subscribers.load(Path(configuration.subscribers)),
            Leases(Path(configuration.leases)),
            eap_servers(tls, fragment_size=configuration.eap_fragment_size),
            origin_host=configuration.diameter_identity,
            origin_realm=configuration.diameter_realm,
            session_timeout=configuration.session_lifetime,
        )
        home_agent = HomeAgent(
            self._address,
            IPv6Network(configuration.home_prefix),
            duplicate_address_detection=configuration.duplicate_address_detection,
            kernel=self._kernel,
            rng=random.SystemRandom(),
        )
        self._mobility = HomeAgentEndpoint(
            home_agent, self._address, configuration.home_interface, log.child("mip6")
        )

    def answer(self, message: Message) -> Message:
        """Answer a Diameter-EAP-Request.

        What an authenticated mobile node needs of this host is there before the answer leaves.
        """
        answer = self._aaa.handle(DiameterEapRequest.from_message(message), time.monotonic())
        self._take_events()
        return answer.to_message()

    def _take_events(self) -> None:
        while self._aaa.events:
            event = self._aaa.events.popleft()
            self._aaa_log(event)
            if isinstance(event, SubscriberAuthenticated):
                self._admit(event)
        self._arm()

    def _arm(self) -> None:
        """Let the AAA server give up conversations in time."""
        if self._timer:
            self._timer.cancel()
        deadline = self._aaa.next_timeout()
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._aaa.handle_timeout(time.monotonic())
        self._take_events()

    def _admit(self, event: SubscriberAuthenticated) -> None:
        """Let the subscriber, and no one else, make SAs for the home address."""
        assignment = event.assignment
        if assignment is None or assignment.home_address is None or event.care_of_address is None:
            return
        psk = ike_psk(event.msk, assignment)
        self._kernel.protect(assignment.home_address)
        if self._ike:
            self._ike.add_psk(
                psk,
                peer=event.care_of_address,
                identity=event.identity,
                home_address=assignment.home_address,
            )
            return
        variables = {
            "HOST": self._configuration.host,
            "HOME_AGENT": str(assignment.home_agent),
            "HOME_ADDRESS": str(assignment.home_address),
            "CARE_OF_ADDRESS": str(event.care_of_address),
            "IDENTITY": event.identity,
        }
        # The Diameter answer leaves first, as in section 5.5 of the paper.
        asyncio.get_running_loop().call_soon(self._launch, psk, variables)

    def _launch(self, psk: bytes, variables: dict[str, str]) -> None:
        work, ike = self._configuration.work, self._configuration.ike
        self._launched.append(launch("home_network.sh", work, psk, ike, variables))

    def close(self) -> None:
        """Close all sockets and end what was launched."""
        if self._timer:
            self._timer.cancel()
        self._mobility.close()
        if self._ike:
            self._ike.close()
        for launched in self._launched:
            launched.close()


async def serve(configuration: HomeNetworkConfiguration, stop: asyncio.Event) -> None:
    """Run the home network until `stop` is set."""
    log = EventLog(configuration.host, "role")
    network = HomeNetwork(configuration, log)
    service = DiameterService(
        node_config(
            configuration.diameter_identity,
            configuration.diameter_realm,
            configuration.access_routers,
        ),
        listen=[(configuration.diameter_address, configuration.diameter_port)],
        tls=diameter_files(configuration.diameter_tls, None),
        handler=network.answer,
        on_event=log.child("diameter"),
    )
    await service.start()
    log.write("Ready", pid=os.getpid())
    await stop.wait()
    network.close()
    await service.close()


if __name__ == "__main__":
    run("agents.roles.home_network", HomeNetworkConfiguration, serve)
