"""Host B by IEEE 802.1X: RADIUS server of hostapd, controlled ports, client of the home AAA."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from ipaddress import IPv6Network
from itertools import count
from typing import Protocol

from agents.bootstrap.assignment import Wish
from agents.core.configuration import Commands
from agents.core.eventlog import EventLog
from agents.core.host import Host, Timer
from agents.core.later import Later
from agents.core.machine import Event
from agents.core.record import Record, replace
from agents.diameter.accounting import AccountingRequest
from agents.diameter.authorisation import GrantError
from agents.diameter.dictionary import Command
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import ResultCode
from agents.diameter.mobility import mobility_request
from agents.diameter.sessions import SessionRequest
from agents.eap.names import canonical_identity, is_anonymous
from agents.kernel.port import ControlledPorts, KernelError
from agents.nodes.access_client import access_client
from agents.nodes.access_router.relay_agent import relay_agent
from agents.nodes.authenticator.settings import AuthenticatorConfiguration
from agents.nodes.authenticator.stations import address_of_station, read_station, write_station
from agents.nodes.opening import Opening
from agents.nodes.radius_front import RadiusFront
from agents.nodes.radius_settings import RadiusListenerSettings

RETRY = 1.0
"""Seconds after which a kernel is asked again that has not closed a port."""


MOST_BEGUN = 1024
"""Stations whose EAP is under way: anybody can begin it, with any MAC address."""


class PortOpened(Event, frozen=True):
    """A station has been authenticated, for `lifetime` seconds."""

    station: str
    lifetime: float


class PortClosed(Event, frozen=True):
    """A station may pass no more."""

    station: str
    reason: str


class Refused(Event, frozen=True):
    """A station has not been authenticated."""

    station: str
    reason: str


class Hostapd(Protocol):
    """What is asked of hostapd."""

    def reauthenticate(self, station: bytes) -> bool:
        """Have a station authenticated anew; return whether hostapd knows it."""


Conversation = tuple[bytes, int]
"""A station, and the how-manieth EAP it is: what was asked in an earlier one counts no more."""


class _Session(Record, frozen=True):
    """What is open for a station, by which conversation; `accounted` is hostapd's name for it.

    The relay agent knows it by `number`.
    """

    conversation: Conversation
    number: int
    accounted: str
    end: Timer
    user: str | None


class Authenticator:
    """Passes EAP on between hostapd and the home AAA server, and opens ports as that grants.

    A port opens before hostapd tells the station of success. `epoch` is the time of day in seconds
    at the start; `secrets` are by the files of `served`, which is where hostapd asks.
    `radius_secret` is the one with the home AAA server if that is asked by RADIUS.
    """

    def __init__(
        self,
        configuration: AuthenticatorConfiguration,
        host: Host,
        ports: ControlledPorts,
        role_log: EventLog,
        *,
        epoch: int,
        served: RadiusListenerSettings,
        secrets: dict[str, bytes],
        radius_secret: bytes = b"",
    ) -> None:
        self._host = host
        self._ports = ports
        self._log = role_log.child("dot1x")
        self._prefix = IPv6Network(configuration.access_prefix)
        self._lifetime = configuration.session_lifetime
        self._reauth_at = configuration.reauth_at
        self._origin = configuration.diameter_identity, configuration.diameter_realm
        self._client = access_client(
            configuration,
            host,
            role_log,
            epoch=epoch,
            radius_secret=radius_secret,
            obey=self._obey,
        )
        self._wish = Wish.EITHER if configuration.mobility else None
        self._relay = relay_agent(configuration, host, role_log.child("dhcpv6"))
        self._front = RadiusFront(
            host, served, secrets, self, role_log.child("radius"), self._origin
        )
        self._opening = Opening(host, self._open, role_log)
        self._numbers = count(1)
        self._sessions: dict[bytes, _Session] = {}
        self._accounted: dict[str, bytes] = {}
        """Which station's session an Acct-Session-Id of hostapd's is."""

        self._begun: dict[bytes, Conversation] = {}
        """The stations whose EAP is under way, in order of its beginning."""

        self.hostapd: Hostapd | None = None

    def start(self, ready: Callable[[], None]) -> None:
        """Serve hostapd, and connect to the home AAA server, however long that takes."""
        self._opening.start(partial(self._client.start, ready))

    def _open(self) -> None:
        for part in (self._relay, self._front):
            if part:
                part.open()

    def stop(self, stopped: Callable[[], None]) -> None:
        """End the sessions, close the sockets and disconnect; tell when that is done.

        The ports stay closed: the next access router takes them over.
        """
        for station in tuple(self._sessions):
            self._close(station, "the authenticator ends")
        self._opening.close()
        self.close()
        self._host.later(partial(self._client.stop, stopped))

    def close(self) -> None:
        """Close the sockets."""
        self._front.close()
        if self._relay:
            self._relay.close()

    def commands(self) -> Commands:
        """What may be asked of this host while it runs."""
        return {"reauthenticate": self._reauthenticate_all, "terminate": self._terminate_all}

    def _reauthenticate_all(self) -> bool:
        return bool([s for s in tuple(self._sessions) if self._reauthenticate(s)])

    def _terminate_all(self) -> bool:
        return bool([s for s in tuple(self._sessions) if self._terminate(s)])

    def _reauthenticate(self, station: bytes) -> bool:
        return self.hostapd is not None and self.hostapd.reauthenticate(station)

    def _terminate(self, station: bytes) -> bool:
        """End a session; the station hears of it when it is asked anew, and may come again."""
        self._close(station, "ended by the network")
        return self._reauthenticate(station)

    # What hostapd asks (agents.nodes.radius_front.Answering)

    def authenticate(
        self, request: DiameterEapRequest
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        """Have the home AAA server answer a station's EAP response."""
        station = read_station(request.calling_station)
        if station is None:
            return self._answer(request, ResultCode.AUTHENTICATION_REJECTED, eap_payload=None)
        if not request.state:
            if self._is_anothers(station, request.user_name):
                return self._refuse(station, request, "another user has this station")
            self._begin(station)
        conversation = self._begun.get(station)
        if conversation is None:
            return self._refuse(station, request, "its conversation is over")
        later = Later[DiameterEapAnswer]()

        def answered(answer: DiameterEapAnswer | Exception) -> None:
            if self._begun.get(station) != conversation:
                # Ended meanwhile: what is granted now opens nothing, and closes nothing either.
                self._client.end(conversation)
                later.settle(self._refuse(station, request, "the answer came too late"))
                return
            later.settle(self._judge(conversation, request, answer))

        self._client.ask(
            conversation,
            request.eap_payload,
            answered,
            asked=mobility_request(self._wish),
            care_of=address_of_station(self._prefix, station),
            station=write_station(station),
        )
        return later

    def _is_anothers(self, station: bytes, user: str | None) -> bool:
        """Return whether a station that has a session is said to be another user's now.

        Anybody can send frames from its MAC address, and a subscriber has credentials besides. Who
        gives no name is known by what the home AAA server tells in the end.
        """
        session = self._sessions.get(station)
        known = session.user if session else None
        if known is None or user is None or is_anonymous(user):
            return False
        return canonical_identity(known) != canonical_identity(user)

    def _begin(self, station: bytes) -> None:
        """Let EAP begin anew; beyond so many stations that have begun the first one gives way."""
        self._forget(station)
        self._begun[station] = station, next(self._numbers)
        if len(self._begun) > MOST_BEGUN:
            self._forget(next(iter(self._begun)))

    def _forget(self, station: bytes) -> None:
        conversation = self._begun.pop(station, None)
        if conversation is not None:
            self._client.forget(conversation)

    def end(self, request: SessionRequest) -> ResultCode:
        """Take hostapd's word that a station has left."""
        station = self._accounted.get(request.session_id)
        if station is None:
            return ResultCode.UNKNOWN_SESSION_ID
        self._close(station, "the station has left")
        return ResultCode.SUCCESS

    def account(self, request: AccountingRequest) -> None:
        """Pass over hostapd's records, but for the end of a session."""

    def _judge(
        self,
        conversation: Conversation,
        request: DiameterEapRequest,
        answer: DiameterEapAnswer | Exception,
    ) -> DiameterEapAnswer:
        """Return what hostapd is answered, and open or close the port by it."""
        if isinstance(answer, Exception):
            granted = answer.granted if isinstance(answer, GrantError) else None
            return self._reject(conversation, request, str(answer), granted)
        if answer.result_code == ResultCode.MULTI_ROUND_AUTH:
            return self._answer(
                request,
                ResultCode.MULTI_ROUND_AUTH,
                eap_payload=answer.eap_payload,
                reissued_payload=answer.reissued_payload,
            )
        if answer.result_code != ResultCode.SUCCESS or not (answer.eap_payload and answer.msk):
            reason = answer.error_message or f"result {answer.result_code}"
            return self._reject(conversation, request, reason, answer)
        return self._accept(conversation, request, answer)

    def _accept(
        self, conversation: Conversation, request: DiameterEapRequest, answer: DiameterEapAnswer
    ) -> DiameterEapAnswer:
        station, number = conversation
        if self._is_anothers(station, answer.user_name):
            return self._reject(conversation, request, "another user has this station", answer)
        try:
            self._ports.authorise(station)
        except KernelError as error:
            self._shut(station)  # It may be half open.
            return self._reject(conversation, request, str(error), None)
        self._forget(station)
        lifetime = min(answer.lifetime or self._lifetime, self._lifetime)
        session = self._sessions.get(station)
        if session is None:
            end = self._host.timer(partial(self._close, station, "the lifetime is over"))
            user = answer.user_name
            session = _Session(conversation, number, request.session_id, end, user)
        else:
            self._client.end(session.conversation)
            self._accounted.pop(session.accounted, None)
            session = replace(session, conversation=conversation, accounted=request.session_id)
        self._sessions[station] = session
        self._accounted[session.accounted] = station
        session.end.start(lifetime)
        if self._relay:
            care_of = address_of_station(self._prefix, station)
            self._relay.supply(session.number, care_of, answer.assignment)
        self._log(PortOpened(self._host.now(), write_station(station), lifetime))
        return self._answer(
            request,
            ResultCode.SUCCESS,
            eap_payload=answer.eap_payload,
            msk=answer.msk,
            session_timeout=lifetime * self._reauth_at or None,
        )

    def _reject(
        self,
        conversation: Conversation,
        request: DiameterEapRequest,
        reason: str,
        answer: DiameterEapAnswer | None,
    ) -> DiameterEapAnswer:
        self._client.end(conversation)
        self._close(conversation[0], reason)
        return self._refuse(conversation[0], request, reason, answer)

    def _refuse(
        self,
        station: bytes,
        request: DiameterEapRequest,
        reason: str,
        answer: DiameterEapAnswer | None = None,
    ) -> DiameterEapAnswer:
        """Have a station told no; what it has stays."""
        self._log(Refused(self._host.now(), write_station(station), reason))
        return self._answer(
            request,
            ResultCode.AUTHENTICATION_REJECTED,
            eap_payload=answer.eap_payload if answer else None,
        )

    def _answer(
        self,
        request: DiameterEapRequest,
        result: ResultCode,
        *,
        eap_payload: bytes | None,
        reissued_payload: bytes | None = None,
        msk: bytes | None = None,
        session_timeout: float | None = None,
    ) -> DiameterEapAnswer:
        """Return what concerns hostapd of an answer."""
        return DiameterEapAnswer(
            session_id=request.session_id,
            result_code=result,
            origin_host=self._origin[0],
            origin_realm=self._origin[1],
            eap_payload=eap_payload,
            reissued_payload=reissued_payload,
            msk=msk,
            session_timeout=session_timeout,
        )

    def _close(self, station: bytes, reason: str) -> None:
        """End a station's session: here, and at the home AAA server."""
        self._forget(station)
        session = self._sessions.pop(station, None)
        if session is None:
            return
        self._client.end(session.conversation)
        self._accounted.pop(session.accounted, None)
        session.end.stop()
        self._shut(station)
        if self._relay:
            self._relay.machine.forget(session.number)
        self._log(PortClosed(self._host.now(), write_station(station), reason))

    def _shut(self, station: bytes) -> None:
        """Let a station pass no more, unless it has a session again; try until that is done."""
        if station in self._sessions:
            return
        try:
            self._ports.revoke(station)
        except KernelError as error:
            self._log.write("EnforcementFailed", reason=str(error))
            self._host.timer(partial(self._shut, station)).start(RETRY)

    # What the home AAA server wants

    def _obey(self, command: int, conversation: Hashable | None) -> ResultCode:
        """Authenticate anew or end what the server has granted (RFC 6733 sections 8.3, 8.5)."""
        for station, begun in self._begun.items():
            if begun == conversation:
                if command == Command.ABORT_SESSION:
                    self._forget(station)  # A grant that is under way opens nothing.
                return ResultCode.SUCCESS
        for station, session in self._sessions.items():
            if session.conversation == conversation:
                if command == Command.ABORT_SESSION:
                    self._terminate(station)
                    return ResultCode.SUCCESS
                done = self._reauthenticate(station)
                return ResultCode.SUCCESS if done else ResultCode.UNABLE_TO_COMPLY
        return ResultCode.UNKNOWN_SESSION_ID
