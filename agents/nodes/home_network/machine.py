"""Host C: home AAA server, and beside it a home agent that takes keys from it, as in the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv6Address
from typing import TypeVar

from agents.aaa.events import (
    SessionEnded,
    SubscriberAuthenticated,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.home_aaa import HomeAaa
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment
from agents.bootstrap.keys import ike_psk, ike_secret
from agents.core.configuration import Commands
from agents.core.eventlog import EventLog
from agents.core.folding import ascii_lower
from agents.core.host import Host
from agents.core.later import Later, after
from agents.core.machine import Event
from agents.diameter.accounting import AccountingRequest, accounting_answer
from agents.diameter.dictionary import (
    APPLICATION_ACCOUNTING,
    APPLICATION_EAP,
    APPLICATION_IKE_SK,
    APPLICATION_MIP6_IKE,
    RESULT_CODE,
    Command,
)
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode, result_name
from agents.diameter.events import PeerUp, Restarted
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest, session_answer
from agents.diameter.wire import Message
from agents.kernel.port import HomeAgentKernel
from agents.mip6.authentication import AHEAD, check_key
from agents.nodes.diameter import DiameterService
from agents.nodes.diameter_settings import node_config
from agents.nodes.home_agent.preshared import PresharedIke
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_network.eap_server import RadiusEapServer
from agents.nodes.home_network.launching import LaunchedIke, Launching
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.ike_daemon.contract import MakeResponder
from agents.nodes.opening import Opening
from agents.nodes.radius_front import RadiusFront

Answer = TypeVar("Answer", DiameterEapAnswer, KeyAnswer)

_BY_RADIUS = "speaks RADIUS: it can be told nothing (RFC 5176 is not spoken here)"

PATIENCE = 30.0
"""Seconds from when it listens for which a home agent that has not come yet is not missed.

That is Tc, the longest pause until it tries again (RFC 6733 section 2.1).
"""


class KeyDistribution:
    """Lets authenticated subscribers, and no one else, make SAs with the home agent.

    `keys` are the preconfigured ones by their files; `launched` is the IKE daemon of a script,
    `make_ike` makes another than the agents' own.
    """

    def __init__(
        self,
        host: Host,
        configuration: HomeNetworkConfiguration,
        home_agent: HomeAgentService,
        log: EventLog,
        *,
        keys: Mapping[str, bytes],
        launched: LaunchedIke | None,
        make_ike: MakeResponder | None,
    ) -> None:
        self._host = host
        self._configuration = configuration
        self._home_agent = home_agent
        self._launched = Launching(host, launched, log) if launched else None
        if self._launched:
            home_agent.on_released.append(self._launched.forget)
        settings = None if launched else configuration.ikev1 or configuration.ikev2
        self._ike = PresharedIke(host, home_agent, settings, log, make_ike)
        self._preconfigured = {peer.identity for peer in configuration.preshared}
        for peer in configuration.preshared:
            psk = keys[peer.psk_file]
            if home_agent.by_option:
                check_key(psk, peer.psk_file)
            self._ike.share(peer.identity, IPv6Address(peer.home_address), psk, None)

    def expect(self, event: SubscriberVerified) -> None:
        """Share the key of a subscriber that may begin IKE before EAP ends."""
        home_address = event.assignment.home_address
        here = event.assignment.home_agent == self._home_agent.address
        if home_address is not None and here:
            psk = ike_psk(event.ike_root, event.assignment)
            self._ike.expect(event.identity, home_address, psk, event.care_of_address)

    def withdraw(self, event: VerificationWithdrawn) -> None:
        """Take such a key back."""
        self._ike.withdraw(event.identity, ike_psk(event.ike_root, event.assignment))

    def share(self, event: SubscriberAuthenticated) -> None:
        """Share the key that follows from the subscriber's authentication while this lasts."""
        assignment = event.assignment
        if assignment is None or assignment.home_address is None or event.place is Place.LOCAL:
            return
        if assignment.home_agent != self._home_agent.address:
            return
        secret = ike_secret(self._configuration.psk_source, event.msk, event.ike_root)
        psk = ike_psk(secret, assignment)
        lifetime = event.lasts or self._configuration.session_lifetime
        home_address, care_of = assignment.home_address, event.care_of_address
        owner = self._home_agent.homes.holder(home_address)
        if owner and owner not in (event.identity, *self._preconfigured):
            self._home_agent.release(owner)  # The AAA server says whose it is now.
        if self._configuration.launch == "resident":
            self._ike.share(event.identity, home_address, psk, care_of, lifetime)
        elif self._home_agent.hold(event.identity, home_address, lifetime):
            # The Diameter answer leaves first, as in section 5.5 of the paper.
            self._host.later(partial(self._launch, event, assignment, psk))

    def _launch(self, event: SubscriberAuthenticated, assignment: Assignment, psk: bytes) -> None:
        identity, home_address = event.identity, assignment.home_address
        if self._launched is None or home_address is None:
            return
        self._launched.share(identity, home_address, psk, event.care_of_address)

    def end(self, event: SessionEnded) -> None:
        """Take key and home address from a subscriber whose session the AAA server has ended."""
        self._home_agent.release(event.identity)

    def open(self) -> None:
        """Open IKE's socket, if that is not done yet; raises OSError if it is not to be had."""
        self._ike.open()

    def close(self) -> None:
        """Close IKE's sockets and end what was launched."""
        self._ike.close()
        if self._launched:
            self._launched.close()


class AaaServer:
    """The home AAA server's answers, and what follows from them for the home agent."""

    def __init__(
        self,
        host: Host,
        aaa: HomeAaa,
        distribution: KeyDistribution | None,
        log: EventLog,
        origin: tuple[str, str],
    ) -> None:
        self._origin = origin
        self.send: Callable[[SessionRequest], object] = lambda _: None
        self._host = host
        self._aaa = aaa
        self._distribution = distribution
        self._log = log
        self._timer = host.timer(self._expire)
        self._commits = False
        """Whether there will be a commit in this turn."""

    def answer(self, message: Message) -> Message | Later[Message]:
        """Answer a request.

        What an authenticated mobile node needs of this host is there before the answer leaves.
        """
        match message.command:
            case Command.IKEV2_SK:
                return self._give_key(KeyRequest.from_message(message))
            case Command.SESSION_TERMINATION:
                return self._end(message)
            case Command.ACCOUNTING:
                return self._account(message)
            case Command.DIAMETER_EAP:
                request = DiameterEapRequest.from_message(message)
                return after(self.authenticate(request), DiameterEapAnswer.to_message)
        raise DiameterError("this is a server", ResultCode.COMMAND_UNSUPPORTED)

    def authenticate(
        self, request: DiameterEapRequest
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        """Answer an EAP response, by whatever protocol it has come."""
        return self._followed(self._aaa.handle(request, self._host.now()))

    def _give_key(self, request: KeyRequest) -> Message | Later[Message]:
        answer = self._followed(self._aaa.handle_key(request, self._host.now()))
        return after(answer, KeyAnswer.to_message)

    def _followed(self, answer: Answer | Later[Answer]) -> Answer | Later[Answer]:
        """Do what follows from an answer, now and when it is there."""

        def pass_on(told: Answer) -> Answer:
            self.follow()
            return told

        if isinstance(answer, Later):
            self.follow()
        return after(answer, pass_on)

    def _commit(self) -> None:
        """Have stored what was assigned meanwhile, once for all, and answered."""
        self._commits = False
        self._aaa.commit(self._host.now())
        self.follow()

    def _end(self, message: Message) -> Message:
        result = self.end(SessionRequest.from_message(message))
        return session_answer(message, result, *self._origin)

    def end(self, request: SessionRequest) -> ResultCode:
        """Take a client's word that its session is over."""
        result = self._aaa.handle_end(request, self._host.now())
        self.follow()
        return result

    def restarted(self, client: str) -> None:
        """End what a client has lost with its state."""
        self._aaa.handle_restart(client, self._host.now())
        self.follow()

    def _account(self, message: Message) -> Message:
        """Answer a record; one that does not count is refused in its command's own way."""
        code, reason = ResultCode.SUCCESS, None
        try:
            self.account(AccountingRequest.from_message(message))
        except DiameterError as error:
            code, reason = ResultCode(error.result_code), str(error)
        return accounting_answer(message, code, *self._origin, reason)

    def account(self, request: AccountingRequest) -> None:
        """Take a record, by whatever protocol; raises DiameterError if it does not count."""
        try:
            self._aaa.handle_accounting(request, self._host.now())
        finally:
            self.follow()

    def withdraw(self, identity: str) -> bool:
        """End a subscriber's session and lease; return whether there was either."""
        ended = self._aaa.withdraw(identity, self._host.now())
        self.follow()
        return ended

    def reauthenticate(self, identity: str) -> bool:
        """Have a subscriber's NAS authenticate it anew; return whether there is one to be told."""
        told = self._aaa.reauthenticate(identity)
        self.follow()
        return told

    def _expire(self) -> None:
        self._aaa.handle_timeout(self._host.now())
        self.follow()

    def follow(self) -> None:
        """Take the AAA server's events, and let it give up conversations in time."""
        while self._aaa.events:
            self._take(self._aaa.events.popleft())
        while self._aaa.outbox:
            self.send(self._aaa.outbox.popleft())
        if self._aaa.pending and not self._commits:
            self._commits = True
            self._host.after_turn(self._commit)
        deadline = self._aaa.next_timeout()
        if deadline is None:
            self._timer.stop()
        else:
            self._timer.start_at(deadline)

    def _take(self, event: Event) -> None:
        self._log(event)
        match event:
            case SubscriberVerified() if self._distribution:
                self._distribution.expect(event)
            case VerificationWithdrawn() if self._distribution:
                self._distribution.withdraw(event)
            case SubscriberAuthenticated() if self._distribution:
                self._distribution.share(event)
            case SessionEnded() if self._distribution:
                self._distribution.end(event)
            case _:
                pass

    def close(self) -> None:
        """Store what has not been, and stop the timer."""
        self._commit()
        self._timer.stop()


def _applications(configuration: HomeNetworkConfiguration) -> tuple[int, ...]:
    """Return what is spoken with Diameter peers."""
    every = APPLICATION_EAP, APPLICATION_IKE_SK, APPLICATION_MIP6_IKE
    return (*every, APPLICATION_ACCOUNTING) if configuration.accounting else every


class HomeNetwork:
    """The home AAA server, and the home agent beside it if one is configured.

    `aaa` is the server; `kernel` the home agent's. `keys` are preconfigured ones and secrets by
    their files, `launched` the IKE daemon of a script; `make_ike` makes another than the agents'
    own. `epoch` is the time of day in seconds at the start.
    """

    def __init__(
        self,
        configuration: HomeNetworkConfiguration,
        host: Host,
        kernel: HomeAgentKernel | None,
        aaa: HomeAaa,
        log: EventLog,
        *,
        keys: Mapping[str, bytes],
        launched: LaunchedIke | None = None,
        make_ike: MakeResponder | None = None,
        epoch: int | None = None,
    ) -> None:
        self._home_agent = self._distribution = None
        if configuration.home_agent and kernel:
            self._home_agent = HomeAgentService(host, kernel, configuration.home_agent, log)
            self._distribution = KeyDistribution(
                host,
                configuration,
                self._home_agent,
                log,
                keys=keys,
                launched=launched,
                make_ike=make_ike,
            )
        origin = configuration.diameter_identity, configuration.diameter_realm
        self._server = AaaServer(host, aaa, self._distribution, log.child("aaa"), origin)
        self._radius = None
        self._radius_clients: frozenset[str] = frozenset()
        if configuration.radius:
            clients = (client.name for client in configuration.radius.clients)
            self._radius_clients = frozenset(map(ascii_lower, clients))
            self._radius = RadiusFront(
                host,
                configuration.radius,
                keys,
                self._server,
                log.child("radius"),
                origin,
                accounts=configuration.accounting,
            )
        self._eap_server = None
        if other := configuration.eap_server:
            self._eap_server = RadiusEapServer(
                host,
                other,
                keys[other.secret_file],
                origin[0],
                log.child("eap_server"),
                self._server.follow,
            )
            aaa.ask_eap_server = self._eap_server.ask
        self._aaa = aaa
        self._log = log.child("diameter")
        self._host = host
        self._opening = Opening(host, self._listen, self._log)
        settings = configuration.home_agent
        self._stale_for = AHEAD if settings and settings.authentication_option else 0.0
        """Seconds until an update can be new to a home agent (agents.mip6.authentication)."""

        self._fresh = host.timer(lambda: None)
        self._until = host.now() + PATIENCE
        self._seen: set[str] = set()
        self._service = DiameterService(
            host,
            node_config(
                configuration.diameter_identity,
                configuration.diameter_realm,
                configuration.diameter_peers,
                tls=configuration.diameter_tls is not None,
                applications=_applications(configuration),
                watchdog=configuration.diameter_watchdog,
                epoch=epoch,
            ),
            listen=[(configuration.diameter_address, configuration.diameter_port)],
            handler=self._server.answer,
            on_event=self._hear,
        )
        aaa.reaches = self._reaches
        self._server.send = self._send

    def _hear(self, event: Event) -> None:
        self._log(event)
        match event:
            case PeerUp(peer=host):
                self._seen.add(ascii_lower(host))
                self._aaa.hear_load(host, 0)  # It may have been started again.
            case Restarted(origin=host):
                self._server.restarted(host)
            case _:
                pass

    def _reaches(self, host: str) -> bool:
        """Return whether a home agent is there; whoever may not have come yet has some time."""
        if self._service.reaches(host):
            return True
        return ascii_lower(host) not in self._seen and self._host.now() < self._until

    def commands(self) -> Commands:
        """What may be asked of this host while it runs."""
        fleet = self._aaa.fleet
        own = {"prefix": self._home_agent.command_prefix} if self._home_agent else {}
        return own | {
            "drain": fleet.drain,
            "undrain": fleet.undrain,
            "withdraw": self._server.withdraw,
            "reauthenticate": self._reauthenticate,
        }

    def _reauthenticate(self, identity: str) -> bool:
        """Have a subscriber's NAS authenticate it anew; ValueError if that speaks RADIUS."""
        nas = self._aaa.sessions.nas_of(identity)
        if nas in self._radius_clients:
            raise ValueError(f"{nas} {_BY_RADIUS}")
        return self._server.reauthenticate(identity)

    def _send(self, request: SessionRequest) -> None:
        """Tell a home agent or a NAS; what it does not hear it finds out when its time is over."""
        if request.destination_host in self._radius_clients:
            self._obeyed(request, DiameterError(_BY_RADIUS, ResultCode.UNABLE_TO_DELIVER))
        else:
            self._service.submit(request.to_message(), partial(self._obeyed, request))

    def _obeyed(self, request: SessionRequest, outcome: Message | Exception) -> None:
        """Log an order that was not obeyed, and why."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            code = RESULT_CODE.need(outcome.avps)
        except (DiameterError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        else:
            if code == ResultCode.SUCCESS:
                return
            reason = result_name(code)
        self._log.write(
            "OrderFailed",
            command=request.command,
            client=request.destination_host,
            identity=request.user_name,
            reason=reason,
        )

    def start(self, ready: Callable[[], None]) -> None:
        """Open the sockets, as soon as the addresses are to be had; tell when that is done."""
        self._fresh.action = ready
        fresh = partial(self._fresh.start, self._stale_for)
        self._opening.start(fresh if self._stale_for else ready)

    def _listen(self) -> None:
        """Open the home agent's sockets first: whoever is let in may come to it at once."""
        for part in (self._home_agent, self._distribution, self._eap_server, self._radius):
            if part:
                part.open()
        self._service.start()
        self._until = self._host.now() + PATIENCE

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets and disconnect; tell when that is done."""
        self._fresh.stop()
        for part in (
            self._opening,
            self._radius,
            self._eap_server,
            self._server,
            self._distribution,
            self._home_agent,
        ):
            if part:
                part.close()
        self._service.stop(stopped)
