"""Phase 1 in either mode: which message each state waits for (RFC 2409 section 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto.ciphers import AES_BLOCK
from agents.ike.constants import Role
from agents.ikev1 import aggressive_mode, grammar, main_mode
from agents.ikev1.constants import Mode, NotifyType
from agents.ikev1.negotiation import (
    AggressiveAnswered,
    AggressiveSent,
    Answered,
    Exchanged,
    Keyed,
    KeySent,
    Negotiation,
    Proposed,
)
from agents.ikev1.wire import NO_COOKIE, Message, decode_plain

_Step: TypeAlias = Callable[..., "bytes | None"]
STEPS: dict[tuple[Mode, Role, type], tuple[int, _Step]] = {
    (Mode.MAIN, Role.INITIATOR, Proposed): (2, main_mode.take_2),
    (Mode.MAIN, Role.RESPONDER, Answered): (3, main_mode.take_3),
    (Mode.MAIN, Role.INITIATOR, KeySent): (4, main_mode.take_4),
    (Mode.MAIN, Role.RESPONDER, Exchanged): (5, main_mode.take_5),
    (Mode.MAIN, Role.INITIATOR, Keyed): (6, main_mode.take_6),
    (Mode.AGGRESSIVE, Role.INITIATOR, AggressiveSent): (2, aggressive_mode.take_2),
    (Mode.AGGRESSIVE, Role.RESPONDER, AggressiveAnswered): (3, aggressive_mode.take_3),
}
"""Number and handler of the message that each state waits for."""


def start(n: Negotiation) -> bytes:
    """Return the first message of the initiator."""
    return main_mode.start(n) if n.mode is Mode.MAIN else aggressive_mode.start(n)


def awaited(n: Negotiation) -> int:
    """Return the number of the message that is awaited, 0 if none is."""
    return STEPS.get((n.mode, n.role, type(n.state)), (0, None))[0]


def screen(message: Message, number: int) -> None:
    """Raise an error for what cannot be the peer's proof, before anything is computed for it."""
    header, body, _ = message
    if not header.encrypted:
        payloads = decode_plain(header.next_payload, body)
        grammar.check(header.exchange, number, payloads, encrypted=False)
    elif not body or len(body) % AES_BLOCK:
        raise WireError(f"{len(body)} encrypted octets are not whole blocks")


def advance(n: Negotiation, message: Message) -> bytes | None:
    """Take the awaited message; return the one to send, if any.

    Raises WireError or PeerError and leaves the state as it was.
    """
    number, handler = STEPS[n.mode, n.role, type(n.state)]
    state, header = n.state, message.header
    if isinstance(state, Keyed | Exchanged | AggressiveAnswered):
        screen(message, number)
        return handler(n, state, message)
    payloads = decode_plain(header.next_payload, message.body)
    grammar.check(header.exchange, number, payloads, encrypted=header.encrypted)
    cookie = n.responder_cookie
    if header.responder_cookie == NO_COOKIE:
        raise PeerError("the responder cookie is zero", NotifyType.INVALID_COOKIE)
    if cookie == NO_COOKIE:
        n.responder_cookie = header.responder_cookie
    try:
        return handler(n, state, payloads)
    except (PeerError, WireError):
        n.responder_cookie = cookie
        raise
