"""What the home AAA server tells of an EAP packet before anybody's method has it."""

from __future__ import annotations

from agents.core.reader import WireError
from agents.eap.wire import Code, Packet, TlsData, Type

_TLS_HANDSHAKE, _CLIENT_HELLO, _TLS_RECORD_HEADER = 22, 1, 5
"""Content type of a TLS record, type of a handshake message, octets of a record's header."""


def read_response(payload: bytes) -> Packet:
    """Return the EAP-Response that a conversation may begin with; raises WireError."""
    try:
        packet = Packet.decode(payload)
    except WireError as error:
        raise WireError(f"bad EAP packet: {error}") from None
    if packet.code is not Code.RESPONSE:
        raise WireError(f"an EAP-{packet.code.name.title()} was sent to the server")
    return packet


def starts_tls(packet: Packet) -> bool:
    """Return whether a response begins EAP-TLS, or refuses to, without an Identity before it.

    Only a ClientHello does, not what continues a TLS session (RFC 8446 sections 4 and 5.1).
    """
    if packet.type != Type.TLS:
        return packet.type == Type.NAK
    try:
        data = TlsData.decode(packet.data).data
        return data[0] == _TLS_HANDSHAKE and data[_TLS_RECORD_HEADER] == _CLIENT_HELLO
    except (WireError, IndexError):
        return False


def failure(response: bytes) -> bytes:
    """Return an EAP-Failure that answers `response`, whatever that is."""
    identifier = response[1] if len(response) > 1 else 0
    return Packet(Code.FAILURE, identifier).encode()
