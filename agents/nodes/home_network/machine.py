"""Host C: home AAA server, and beside it a home agent that takes keys from it, as in the paper."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv6Address
from pathlib import Path

from agents.aaa import subscribers
from agents.aaa.events import (
    SubscriberAuthenticated,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.home_aaa import HomeAaa, eap_servers
from agents.aaa.leases import Leases
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment, ike_psk, ike_secret
from agents.core.eventlog import EventLog
from agents.diameter.eap import DiameterEapRequest
from agents.diameter.wire import Message
from agents.eap.tls import TlsServerConfig
from agents.nodes.home_agent.machine import HomeAgentService, PresharedIke
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.shell.launch import LaunchedIke


class Admission:
    """Lets authenticated subscribers, and no one else, make SAs with the home agent."""

    def __init__(
        self, configuration: HomeNetworkConfiguration, home_agent: HomeAgentService, log: EventLog
    ) -> None:
        self._configuration = configuration
        self._home_agent = home_agent
        self._launched: LaunchedIke | None = None
        home_agent.authorisations.on_ended.append(lambda identity, _: self._end(identity))
        resident = configuration.launch == "resident"
        if not resident:
            ike = configuration.ikev1 or IkeSettings()
            host, address = configuration.host, home_agent.address
            self._launched = LaunchedIke(configuration.work, ike, host, address)
        self._ike = PresharedIke(
            home_agent, configuration.ikev1 if resident else None, configuration.ikev2, log
        )
        for peer in configuration.preshared:
            psk = Path(peer.psk_file).read_bytes()
            self._ike.share(peer.identity, IPv6Address(peer.home_address), psk, None)

    def expect(self, event: SubscriberVerified) -> None:
        """Share the key of a subscriber that may begin IKE before EAP ends."""
        home_address = event.assignment.home_address
        if home_address is not None:
            psk = ike_psk(event.ike_root, event.assignment)
            self._ike.expect(event.identity, home_address, psk, event.care_of_address)

    def withdraw(self, event: VerificationWithdrawn) -> None:
        """Take such a key back."""
        self._ike.withdraw(event.identity, ike_psk(event.ike_root, event.assignment))

    def admit(self, event: SubscriberAuthenticated) -> None:
        """Share the key that follows from the subscriber's authentication while this lasts."""
        assignment = event.assignment
        if assignment is None or assignment.home_address is None or event.place is Place.LOCAL:
            return
        secret = ike_secret(self._configuration.psk_source, event.msk, event.ike_root)
        psk = ike_psk(secret, assignment)
        lifetime = self._configuration.session_lifetime
        home_address, care_of = assignment.home_address, event.care_of_address
        if self._configuration.launch == "resident":
            self._ike.share(event.identity, home_address, psk, care_of, lifetime)
        elif self._home_agent.authorisations.authorise(event.identity, home_address, lifetime):
            # The Diameter answer leaves first, as in section 5.5 of the paper.
            asyncio.get_running_loop().call_soon(self._launch, event, assignment, psk)

    def _launch(self, event: SubscriberAuthenticated, assignment: Assignment, psk: bytes) -> None:
        identity, home_address = event.identity, assignment.home_address
        if self._launched is None or home_address is None:
            return
        self._launched.share(identity, home_address, psk, event.care_of_address)

    def _end(self, identity: str) -> None:
        """End a subscriber's key, and the SAs that were made with it; the others' stay."""
        if self._launched:
            self._launched.forget(identity)

    def close(self) -> None:
        """Close IKE's sockets and end what was launched."""
        self._ike.close()
        if self._launched:
            self._launched.close()


class AaaServer:
    """The home AAA server's answers, and what follows from them for the home agent."""

    def __init__(
        self, configuration: HomeNetworkConfiguration, admission: Admission | None, log: EventLog
    ) -> None:
        self._admission = admission
        self._log = log
        self._timer: asyncio.TimerHandle | None = None
        tls = TlsServerConfig(**configuration.tls.arguments())
        self._aaa = HomeAaa(
            subscribers.load(Path(configuration.subscribers)),
            Leases(Path(configuration.leases)),
            eap_servers(
                tls,
                fragment_size=configuration.eap_fragment_size,
                pick_up=configuration.pick_up,
            ),
            origin_host=configuration.diameter_identity,
            origin_realm=configuration.diameter_realm,
            session_timeout=configuration.session_lifetime,
            psk_source=configuration.psk_source,
            protection=configuration.protection,
            early=configuration.early,
            pick_up=configuration.pick_up,
            home_agents=configuration.diameter_home_agents,
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
            self._log(event)
            match event:
                case SubscriberVerified() if self._admission:
                    self._admission.expect(event)
                case VerificationWithdrawn() if self._admission:
                    self._admission.withdraw(event)
                case SubscriberAuthenticated() if self._admission:
                    self._admission.admit(event)
                case _:
                    pass
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

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()
