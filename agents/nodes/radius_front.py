"""RADIUS in front of whoever authenticates: the home AAA server, or an authenticator's client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from ipaddress import IPv6Address
from typing import Protocol

from agents.core.eventlog import EventLog
from agents.core.host import Endpoint, Host
from agents.core.later import Later
from agents.core.machine import Discarded, Event
from agents.core.reader import WireError
from agents.core.record import replace
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import APPLICATION_EAP, AccountingRecordType, Command
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.sessions import SessionRequest
from agents.nodes.radius_accounting import read_accounting
from agents.nodes.radius_eap import access_answer, read_request
from agents.nodes.radius_settings import RadiusListenerSettings
from agents.radius.events import Peer, RequestReceived
from agents.radius.server import RadiusServer
from agents.radius.wire import Code, Packet

_STATE_LENGTH = 16


class Answering(Protocol):
    """What one does that is asked by RADIUS, whatever protocol is behind it."""

    def authenticate(
        self, request: DiameterEapRequest
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        """Answer an EAP response."""

    def end(self, request: SessionRequest) -> ResultCode:
        """Take a client's word that its session is over."""

    def account(self, request: AccountingRequest) -> None:
        """Take a record; raises DiameterError if it does not count."""


class RadiusFront:
    """Serves EAP and the ends of sessions by RADIUS (RFC 3579, RFC 2866).

    `secrets` are by their files; `origin` is the server's name and realm. If it `accounts`, what
    does not count gets no answer, for RADIUS has no other refusal (RFC 2866 section 2).
    """

    def __init__(
        self,
        host: Host,
        settings: RadiusListenerSettings,
        secrets: Mapping[str, bytes],
        server: Answering,
        log: EventLog,
        origin: tuple[str, str],
        *,
        accounts: bool = False,
    ) -> None:
        self._host = host
        self._settings = settings
        self._server = server
        self._accounts = accounts
        self._log = log
        self._origin = origin
        clients = [
            Peer(one.name, IPv6Address(one.address), secrets[one.secret_file])
            for one in settings.clients
        ]
        self._access = RadiusServer(clients, [Code.ACCESS_REQUEST], rng=host.rng)
        self._accounting = RadiusServer(clients, [Code.ACCOUNTING_REQUEST], rng=host.rng)
        self._endpoints: dict[int, Endpoint] = {}

    def open(self) -> None:
        """Listen, where that is not done yet; raises OSError if the address is not to be had."""
        for port, machine, handle in (
            (self._settings.port, self._access, self._handle_access),
            (self._settings.accounting_port, self._accounting, self._handle_accounting),
        ):
            if port not in self._endpoints:
                local = self._settings.address, port
                self._endpoints[port] = self._host.datagrams(machine, local, handle)

    def close(self) -> None:
        """Close the sockets."""
        for endpoint in self._endpoints.values():
            endpoint.close()

    def _handle_access(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, RequestReceived):
            try:
                request = read_request(event.packet, event.client, self._origin)
            except WireError as error:
                self._refuse(event, str(error))
                return
            if not request.session_id:
                state = self._host.rng.randbytes(_STATE_LENGTH)
                request = replace(request, session_id=state.hex(), state=(state,))
            try:
                answer = self._server.authenticate(request)
            except Exception as error:  # A server outlives the bug that one request meets.
                self._host.report(error, "a RADIUS request could not be served")
                self._access.answer(event.token, Code.ACCESS_REJECT, ())
                return
            tell = partial(self._tell, event.token, request)
            if isinstance(answer, Later):
                answer.then(tell)
            else:
                tell(answer)

    def _refuse(self, event: RequestReceived, reason: str) -> None:
        self._log(Discarded(event.at, event.client, reason))
        self._access.answer(event.token, Code.ACCESS_REJECT, ())

    def _tell(self, token: int, request: DiameterEapRequest, answer: DiameterEapAnswer) -> None:
        state = request.state[0] if request.state else request.session_id.encode()
        code, attributes = access_answer(answer, state)
        endpoint = self._endpoints[self._settings.port]
        try:
            endpoint.call(self._access.answer, token, code, attributes)
        except ValueError as error:  # With the request's Proxy-States it may be too long.
            self._log(Discarded(self._host.now(), request.origin_host, str(error)))
            endpoint.call(self._access.drop, token)

    def _handle_accounting(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, RequestReceived):
            try:
                self._account(event.packet, event.client)
            except (WireError, DiameterError) as error:
                self._log(Discarded(event.at, event.client, str(error)))
                self._accounting.drop(event.token)
            else:
                self._accounting.answer(event.token, Code.ACCOUNTING_RESPONSE, ())

    def _account(self, packet: Packet, client: str) -> None:
        """Take a record, and free what a session had that has ended.

        Raises WireError for what is not accounting, DiameterError for what does not count.
        """
        record = read_accounting(packet, client, self._origin[1])
        if record is None:
            return
        try:
            if self._accounts:
                self._server.account(record)
        finally:
            if record.record_type is AccountingRecordType.STOP:
                self._server.end(_end_of(record))


def _end_of(record: AccountingRequest) -> SessionRequest:
    """Return what Diameter would say of a session's end."""
    return SessionRequest(
        command=Command.SESSION_TERMINATION,
        session_id=record.session_id,
        application=APPLICATION_EAP,
        origin_host=record.origin_host,
        origin_realm=record.origin_realm,
        destination_realm=record.destination_realm,
    )
