"""Attacks on the home AAA server by who is no Diameter peer (RFC 6733 section 13)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.reader import WireError
from agents.diameter.capabilities import capabilities_request
from agents.diameter.config import PORT, TLS_PORT, NodeConfig
from agents.diameter.dictionary import RESULT_CODE
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.wire import Message, message_length
from agents.nodes.attacker.attack import StreamAttack


class Stranger(StreamAttack):
    """A capabilities exchange by a host of which nobody has heard."""

    port = PORT

    def opening(self) -> bytes:
        """Return its Capabilities-Exchange-Request."""
        self.told = "the connection is closed without an answer"
        return self._request("stranger.example", "example")

    def _request(self, host: str, realm: str) -> bytes:
        config = NodeConfig(host, realm)
        return capabilities_request(config, IPv6Address(self.known.own.address)).encode()

    def answered(self, data: bytes) -> None:
        """An answer with success is what is hoped for."""
        try:
            answer = Message.decode(data[: message_length(data[:4])])
            code = RESULT_CODE.find(answer.avps)
        except (WireError, DiameterError):
            return
        self.told = f"an answer with Result-Code {code}"
        if code == ResultCode.SUCCESS:
            self.won = "a Diameter connection"


class FalseRouter(Stranger):
    """The same in the access router's name, from an address that is not its own."""

    def opening(self) -> bytes:
        """Return the access router's request."""
        super().opening()
        return self._request(self.known.router_name, self.known.router_realm)


class WithoutTls(FalseRouter):
    """The same from the access router's own host, but without the TLS that is demanded."""

    port = TLS_PORT
