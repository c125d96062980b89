"""Encryption of AVPs between PaC and PAA (RFC 6786)."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from agents.core.machine import PeerError
from agents.pana.wire import Avp, AvpName, Message

KEY_LENGTH = 16
"""Octets of a key for AES128_CTR."""

HIDDEN = frozenset({AvpName.HOME_AGENT_ADDRESS, AvpName.HOME_AGENT_FQDN, AvpName.HOME_ADDRESS})
"""The project's AVPs that shall be encrypted where encryption is agreed on (policy Y)."""

MAY_BE_HIDDEN = HIDDEN | {
    AvpName.EAP_PAYLOAD,
    AvpName.SESSION_LIFETIME,
    AvpName.TERMINATION_CAUSE,
    AvpName.SEALED_ASSIGNMENT,
}
"""AVPs that may arrive encrypted (policies X and Y of RFC 6786 section 6.1)."""


def first_counter(key_id: int, session: bytes, sequence: int) -> bytes:
    """Return the first counter block of a message (RFC 6786 section 4.1)."""
    return b"\x02" + key_id.to_bytes(4) + session + sequence.to_bytes(4) + b"\x00\x00\x01"


def crypt(key: bytes, counter: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt with AES128_CTR; the counter of 3 octets outlasts any datagram."""
    context = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return context.update(data) + context.finalize()


def check_policy(message: Message, inner: tuple[Avp, ...], *, agreed: bool) -> None:
    """Raise PeerError if an AVP is hidden that must not be, or in clear that must be hidden."""
    for avp in inner:
        if isinstance(avp.name, AvpName) and avp.name not in MAY_BE_HIDDEN:
            raise PeerError(f"{avp.name.value} inside Encryption-Encap")
    for avp in message.avps:
        if agreed and avp.name in HIDDEN:
            raise PeerError("the home agent in clear although encryption is agreed on")
