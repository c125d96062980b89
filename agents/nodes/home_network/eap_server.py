"""Another EAP server behind the home AAA server, asked by RADIUS (RFC 3579)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agents.aaa.remote import Question, Reply
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.later import Later
from agents.core.reader import WireError
from agents.nodes.radius_client import RadiusService
from agents.nodes.radius_settings import RadiusServerSettings
from agents.radius import dictionary as d
from agents.radius.wire import Code, Packet

PATIENCE = 30.0
"""Seconds for which it is asked (MRD of RFC 5080 section 2.2.1)."""


class RadiusEapServer:
    """Asks a server that authenticates and knows no more of Mobile IPv6 than that.

    `name` is what this host calls itself there. Its users' names are those in their certificates,
    in the User-Name of an Access-Accept. `told` is called when a reply has been passed on.
    """

    def __init__(
        self,
        host: Host,
        settings: RadiusServerSettings,
        secret: bytes,
        name: str,
        log: EventLog,
        told: Callable[[], None],
    ) -> None:
        self._host = host
        self._settings = settings
        self._secret = secret
        self._name = name
        self._log = log
        self._told = told
        self._service: RadiusService | None = None

    def open(self) -> None:
        """Open the socket, if that is not done yet; raises OSError if that is not to be had."""
        if self._service is None:
            self._service = RadiusService(
                self._host,
                self._settings,
                self._secret,
                self._log,
                port=self._settings.port,
                timeout=PATIENCE,
            )

    def close(self) -> None:
        """Close the socket."""
        if self._service is not None:
            self._service.close()

    def ask(self, question: Question) -> Later[tuple[Reply, float]]:
        """Put an EAP response to it."""
        later = Later[tuple[Reply, float]]()
        attributes = (
            d.USER_NAME.attribute(question.user_name),
            d.NAS_IDENTIFIER.attribute(self._name),
            d.NAS_PORT_TYPE.attribute(d.NasPortType.VIRTUAL),
            d.SERVICE_TYPE.attribute(d.ServiceType.FRAMED),
            d.FRAMED_MTU.attribute(question.longest),
            *(d.STATE.attribute(state) for state in question.state),
            *d.EAP_MESSAGE.parts(question.packet),
        )
        if self._service is None:
            raise RuntimeError("the socket is not open")
        try:
            self._service.submit(Code.ACCESS_REQUEST, attributes, partial(self._tell, later))
        except ValueError as error:
            reason = f"the EAP server cannot be asked: {error}"
            later.settle((Reply("failure", reason=reason), self._host.now()))
        return later

    def _tell(
        self, later: Later[tuple[Reply, float]], outcome: Packet | TimeoutError, at: float
    ) -> None:
        later.settle((_reply(outcome), at))
        self._told()


def _reply(outcome: Packet | TimeoutError) -> Reply:
    if isinstance(outcome, TimeoutError):
        return Reply("failure", reason=f"the EAP server cannot be asked: {outcome}")
    attributes = outcome.attributes
    try:
        packet, state = d.EAP_MESSAGE.join(attributes), d.STATE.find(attributes)
        received, sent = d.MS_MPPE_RECV_KEY.find(attributes), d.MS_MPPE_SEND_KEY.find(attributes)
        name = d.USER_NAME.find(attributes)
    except WireError as error:
        return Reply("failure", reason=f"the EAP server's answer cannot be read: {error}")
    if outcome.code == Code.ACCESS_ACCEPT:
        return Reply("success", packet, msk=(received or b"") + (sent or b""), name=name)
    if outcome.code == Code.ACCESS_CHALLENGE and packet is not None:
        return Reply("request", packet, () if state is None else (state,))
    return Reply("failure", packet)
