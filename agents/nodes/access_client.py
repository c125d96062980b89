"""The AAA client of whoever grants access, by Diameter or by RADIUS."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeAlias

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.diameter.dictionary import Command
from agents.diameter.errors import ResultCode
from agents.diameter.sessions import SessionRequest
from agents.diameter.wire import Message
from agents.nodes.aaa_client import AaaClient
from agents.nodes.access_settings import AccessConfiguration
from agents.nodes.radius_client import RadiusAaaClient

AccessClient: TypeAlias = AaaClient | RadiusAaaClient


def access_client(
    configuration: AccessConfiguration,
    host: Host,
    log: EventLog,
    *,
    epoch: int,
    radius_secret: bytes,
    obey: Callable[[int, Hashable | None], ResultCode],
) -> AccessClient:
    """Return a client of the home AAA server, by RADIUS if the configuration has that.

    By Diameter the server may want a session to end, or its user to be asked again (RFC 6733
    sections 8.3 and 8.5): `obey` gets the command and the conversation's key, None if it is none.
    """
    if configuration.radius is not None:
        return RadiusAaaClient(
            configuration, configuration.radius, host, log, epoch=epoch, secret=radius_secret
        )

    def serve(message: Message) -> Message:
        return client.serve(message, (Command.ABORT_SESSION, Command.RE_AUTH), take)

    def take(request: SessionRequest) -> ResultCode:
        return obey(request.command, client.key_of(request))

    client = AaaClient(configuration, host, log, epoch=epoch, handler=serve)
    return client
