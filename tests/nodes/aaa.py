"""AAA servers that answer as a test says, with nothing but Diameter between them and the node."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import base_answer, capabilities_answer, error_answer
from agents.diameter.config import PORT, NodeConfig
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.sessions import SessionRequest
from agents.diameter.wire import Message, message_length
from agents.nodes.diameter_settings import DiameterPeer
from tests.nodes.net import AAA, Net
from tests.pana.fakes import MSK, eap

SERVER = DiameterPeer(host="aaa.home.test", realm="home.test", address=AAA, relays=("*",))

Answer = Callable[[DiameterEapRequest], DiameterEapAnswer | None]


class Aaa:
    """A Diameter server on host C that answers Diameter-EAP-Requests as `answer` says.

    It may answer in whose name it likes, refuse by DiameterError, or say nothing (None). `held`
    has, while `holds`, the answers that `release` will send.
    """

    def __init__(self, net: Net, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[DiameterEapRequest] = []
        self.holds: Callable[[DiameterEapRequest], bool] = lambda _: False
        self._held: list[tuple[int, Message]] = []
        self.heard: list[Message] = []
        """What came about sessions beside EAP: requests, and answers to `order`."""

        self._last = 0
        spoken = d.APPLICATION_EAP, d.APPLICATION_MIP6_IKE, d.APPLICATION_ACCOUNTING
        self._config = NodeConfig(SERVER.host, SERVER.realm, applications=spoken)
        self._buffers: dict[int, bytes] = {}
        self._streams = net.program("C").open_streams(self, [(AAA, PORT)])

    def release(self) -> None:
        """Send what was held, and hold nothing any more."""
        self.holds = lambda _: False
        for number, message in self._held:
            self._streams.send(number, message.encode())
        self._held.clear()

    def say(self, message: Message) -> None:
        """Send a message in the place of the answer that is held, or to whom it has answered."""
        if self._held and not message.request:
            _, held = self._held.pop()
            message = replace(message, hop_by_hop=held.hop_by_hop, end_to_end=held.end_to_end)
        self._streams.send(max(self._buffers), message.encode())

    @property
    def held(self) -> list[Message]:
        """Return the answers that are held."""
        return [message for _, message in self._held]

    def order(self, request: SessionRequest) -> None:
        """Send a request to the last client that has connected."""
        self._last += 1
        message = replace(request.to_message(), hop_by_hop=self._last, end_to_end=self._last)
        self.say(message)

    def ended(self) -> list[str]:
        """Return the sessions that were said to be over."""
        ends = [m for m in self.heard if m.command == d.Command.SESSION_TERMINATION]
        return [d.SESSION_ID.need(message.avps) for message in ends]

    def accepted(self, _source: object, _local: object) -> int:
        number = len(self._buffers)
        self._buffers[number] = b""
        return number

    def received(self, number: int, data: bytes) -> None:
        data = self._buffers[number] + data
        while len(data) >= 4 and len(data) >= (length := message_length(data[:4])):
            self._take(number, Message.decode(data[:length]))
            data = data[length:]
        self._buffers[number] = data

    def _take(self, number: int, message: Message) -> None:
        between = message.application == d.APPLICATION_COMMON
        if not between and message.command != d.Command.DIAMETER_EAP:
            self.heard.append(message)
        if not message.request:
            return
        if message.command == d.Command.CAPABILITIES_EXCHANGE:
            answer = capabilities_answer(self._config, IPv6Address(AAA), message)
        elif message.command != d.Command.DIAMETER_EAP:
            answer = base_answer(self._config, message)
        else:
            request = DiameterEapRequest.from_message(message)
            self.asked.append(request)
            try:
                said = self.answer(request)
            except DiameterError as error:
                answer = error_answer(self._config, message, error)
            else:
                if said is None:
                    return
                hop, end = message.hop_by_hop, message.end_to_end
                said = replace(said, application=request.application)
                answer = replace(said.to_message(), hop_by_hop=hop, end_to_end=end)
            if self.holds(request):
                self._held.append((number, answer))
                return
        self._streams.send(number, answer.encode())

    def connected(self, *_: object) -> None:
        """It connects to nobody."""

    def secured(self, *_: object) -> None:
        """There is no TLS."""

    def closed(self, *_: object) -> None:
        """Whoever leaves may come again."""

    def troubled(self, *_: object) -> None:
        """It has no trouble."""


class Admitting(Aaa):
    """Asks a mobile node once, and then lets it in under the name that `name_of` gives it.

    `granted` are further fields of its last answer, `at_once` has it ask nothing.
    """

    def __init__(self, net: Net, **granted: Any) -> None:
        super().__init__(net, self._admit)
        self.granted = granted
        self.at_once = False

    def asks(self, request: DiameterEapRequest) -> bool:
        """Return whether it asks, rather than decides, in its answer."""
        return request.eap_payload[4] == 1 and not self.at_once

    def _admit(self, request: DiameterEapRequest) -> DiameterEapAnswer:
        identifier = (request.eap_payload[1] + 1) % 256
        answer = DiameterEapAnswer(
            request.session_id,
            ResultCode.MULTI_ROUND_AUTH,
            SERVER.host,
            SERVER.realm,
            eap_payload=eap(1, identifier, b"\xffround"),
        )
        if self.asks(request):
            return answer
        success = replace(
            answer,
            result_code=ResultCode.SUCCESS,
            eap_payload=eap(3, identifier),
            msk=MSK,
            user_name=name_of(request.care_of_address or _local_part(request.user_name)),
        )
        return replace(success, **self.granted)


def _local_part(claimed: str | None) -> str:
    return (claimed or "").partition("@")[0]


def name_of(who: IPv6Address | str) -> str:
    """Return the subscriber who is at a care-of address, or claims something at a home agent."""
    return f"{who}@home.test"
