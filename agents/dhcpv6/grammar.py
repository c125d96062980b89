"""Which options a message must, may and must not hold, as data (RFC 8415 sections 16 and 21)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.core.machine import PeerError
from agents.core.record import Record
from agents.dhcpv6.wire import Message, MessageType, Option, OptionCode, RelayMessage, label


class Rule(Record, frozen=True):
    """How often an option occurs; `maximum` None means any number."""

    code: OptionCode
    minimum: int
    maximum: int | None


def must(code: OptionCode) -> Rule:
    """Exactly one."""
    return Rule(code, 1, 1)


def may(code: OptionCode) -> Rule:
    """At most one."""
    return Rule(code, 0, 1)


def never(code: OptionCode) -> Rule:
    """None."""
    return Rule(code, 0, 0)


MESSAGES: Mapping[int, tuple[Rule, ...]] = {
    MessageType.REPLY: (
        may(OptionCode.CLIENT_ID),
        must(OptionCode.SERVER_ID),
        may(OptionCode.STATUS_CODE),
        may(OptionCode.INFORMATION_REFRESH_TIME),
        may(OptionCode.INF_MAX_RT),
    ),
    MessageType.RELAY_FORWARD: (must(OptionCode.RELAY_MSG),),
    MessageType.RELAY_REPLY: (must(OptionCode.RELAY_MSG), may(OptionCode.INTERFACE_ID)),
}
"""Of what clients and relay agents take in; options that no rule names are ignored.

What clients send has no rule: it is for the servers to judge.
"""

CONTAINERS: Mapping[int, tuple[Rule, ...]] = {
    OptionCode.MIP6_VDINF: (never(OptionCode.MIP6_HNIDF),),
    OptionCode.MIP6_IDINF: (must(OptionCode.MIP6_HNIDF),),
    OptionCode.MIP6_UDINF: (never(OptionCode.MIP6_HNIDF),),
}
"""The Home Network Information options (RFC 6610 section 3.2)."""


def check(message: Message | RelayMessage) -> None:
    """Raise PeerError if options are missing, too many or not allowed."""
    _check(label(message.kind), MESSAGES.get(message.kind, ()), message.options)


def check_container(code: OptionCode, options: Iterable[Option]) -> None:
    """Raise PeerError if the options within a container are not as they must be."""
    _check(f"option {code.name}", CONTAINERS.get(code, ()), options)


def _check(where: str, rules: Iterable[Rule], options: Iterable[Option]) -> None:
    codes = [option.code for option in options]
    for rule in rules:
        count = codes.count(rule.code)
        if count < rule.minimum:
            raise PeerError(f"{where} without {rule.code.name}")
        if rule.maximum is not None and count > rule.maximum:
            raise PeerError(f"{where} with {count} of {rule.code.name}")
