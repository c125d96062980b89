"""From a datagram to the exchange it belongs to (RFC 7296 sections 2.1 to 2.3 and 2.21)."""

from __future__ import annotations

from agents.core.machine import Address, PeerError
from agents.core.reader import WireError
from agents.ike.half_open import MAX_UNPROVEN
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.grammar import Contents
from agents.ikev2.ike_auth_initiator import AuthInitiator
from agents.ikev2.ike_auth_responder import AuthResponder
from agents.ikev2.ike_init import InitInitiator, InitResponder
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.payloads import Notification
from agents.ikev2.sa import Closed, Established, HalfOpen, IkeSa, Initiating, Keymat, Served
from agents.ikev2.sealing import NotAuthenticError
from agents.ikev2.task_manager import TaskManager
from agents.ikev2.tasks import Initial
from agents.ikev2.wire import LaterVersionError, Message, split_datagram


class Receiver:
    """Finds the IKE SA of a message, lets duplicates have no effect, and opens what is sealed."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks
        self._auth_initiator = AuthInitiator(sas, tasks)
        self.init_initiator = InitInitiator(sas, tasks, self._auth_initiator.start)
        self.auth_responder = AuthResponder(sas, tasks)
        self._init_responder = InitResponder(sas, self.auth_responder.fail)

    def handle(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from `source`."""
        sas = self._sas
        try:
            message = split_datagram(data)
        except WireError as error:
            sas.discard(source, f"no IKEv2 message: {error}", now)
            if isinstance(error, LaterVersionError) and not error.header.response:
                note = Notification(NotifyType.INVALID_MAJOR_VERSION)
                self._init_responder.refuse(error.header, source, note)
            return
        header = message.header
        if header.exchange == ExchangeType.IKE_SA_INIT and not header.response:
            if header.initiator:
                self._init_responder.handle(message, source, now)
            else:
                sas.discard(source, "IKE_SA_INIT not from the initiator", now)
            return
        sa = sas.table.get(header.spi_r if header.initiator else header.spi_i)
        if sa is None:
            sas.discard(source, "the SPIs belong to no IKE SA", now)
            self._init_responder.disown(message, source, now)
        elif sa.initiator == header.initiator:
            sas.discard(source, "the SPIs belong to no IKE SA", now)
        elif header.exchange == ExchangeType.IKE_SA_INIT:
            self.init_initiator.handle(sa, message, source, now)
        elif (header.spi_i, header.spi_r) != sa.spis:
            sas.discard(source, "one of the SPIs is another", now)
        elif not header.response:
            self._handle_request(sa, message, source, now)
        elif message.first == PayloadType.NOTIFY:
            self._tasks.dpd.handle_hint(sa, message, source, now)
        else:
            self._handle_response(sa, message, source, now)

    def _handle_response(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        sas, header, request = self._sas, message.header, sa.window.request
        if (
            request is None
            or sa.keymat is None
            or (request.message_id, request.exchange) != (header.message_id, header.exchange)
        ):
            sas.discard(source, "a response to no request that is under way", now)
            return
        try:
            contents = Contents.of(sa.keymat.sealer.open(message))
        except NotAuthenticError:
            sas.discard(source, "a response that is not authentic", now)
            return
        except (WireError, PeerError) as error:
            if isinstance(request.purpose, Initial):
                sas.close(sa, f"IKE_AUTH: {error}", now)
            else:
                self._tasks.handle_broken_response(sa, error, now)
            return
        if isinstance(request.purpose, Initial):
            self._auth_initiator.handle(sa, contents, now)
        else:
            sas.watch(sa, now)
            self._tasks.handle_response(sa, contents, now)

    def _handle_request(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        sas, served = self._sas, sa.window.served
        if served and message.data == served.message.data:
            if served.response:  # To where the first one came from: this may be a recording.
                sas.send(served.response, served.source)
            return
        if reason := _unacceptable(sa, message):
            sas.discard(source, reason, now)
            return
        try:
            keymat = self._keymat(sa)
        except PeerError as error:
            sas.close(sa, f"IKE_SA_INIT: {error}", now)
            return
        try:
            contents = Contents.of(keymat.sealer.open(message))
        except NotAuthenticError:
            sas.discard(source, "a request that is not authentic", now)
        except (WireError, PeerError) as error:
            sa.window.served = Served(message, source)
            self._refuse(sa, error, now)
        else:
            sa.window.served = Served(message, source)
            self._take_request(sa, message.header.exchange, contents, now)

    def _keymat(self, sa: IkeSa) -> Keymat:
        """Return what opens a request; of a half-open IKE SA it is computed now."""
        if isinstance(sa.state, HalfOpen):
            self._init_responder.compute_keys(sa, sa.state)
        if sa.keymat is None:
            raise ValueError("an IKE SA without keys takes no request")
        return sa.keymat

    def _refuse(self, sa: IkeSa, error: Exception, now: float) -> None:
        if isinstance(sa.state, Established):
            self._tasks.refuse(sa, error, now)
        else:
            self.auth_responder.refuse(sa, error, now)

    def _take_request(self, sa: IkeSa, exchange: int, contents: Contents, now: float) -> None:
        match exchange, isinstance(sa.state, Established):
            case ExchangeType.IKE_AUTH, False:
                self.auth_responder.handle(sa, contents, now)
            case ExchangeType.INFORMATIONAL, False:
                self.auth_responder.handle_end(sa, contents, now)
            case ((ExchangeType.CREATE_CHILD_SA | ExchangeType.INFORMATIONAL), True):
                self._tasks.handle_request(sa, exchange, contents, now)
            case _:
                reason = f"exchange type {exchange} out of turn"
                self._refuse(sa, PeerError(reason, NotifyType.INVALID_SYNTAX), now)


def _unacceptable(sa: IkeSa, message: Message) -> str:
    """Return why a request is not looked at, empty if it is."""
    served = sa.window.served
    if not isinstance(sa.state, Established) and len(message.data) > MAX_UNPROVEN:
        return f"IKE_AUTH of {len(message.data)} octets"
    if served and not served.response:
        return "a request before the last one is answered"
    if message.header.message_id != sa.window.expected_id or isinstance(sa.state, Closed):
        return f"a request with message id {message.header.message_id}"
    if isinstance(sa.state, Initiating):
        return "a request that has overtaken the response to IKE_AUTH"
    return ""
