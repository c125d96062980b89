"""Message grammar as data: which AVPs a message may and must carry (RFC 5191 section 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from agents.core.machine import PeerError
from agents.core.record import Record
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.wire import Avp, AvpName, Kind, Message


class Auth(Enum):
    """Whether a message carries AUTH (RFC 5191 sections 4 and 5.5)."""

    NEVER = "never"
    WITH_SA = "if and only if the session has a PANA SA"
    WITH_KEY_ID = "with a Key-Id, or if the session has a PANA SA"
    OPTIONAL = "may do without, but then changes nothing"


class Rule(Record, frozen=True):
    """How often an AVP occurs; `maximum` None means any number."""

    name: AvpName
    minimum: int
    maximum: int | None


def must(name: AvpName) -> Rule:
    """Exactly one."""
    return Rule(name, 1, 1)


def may(name: AvpName) -> Rule:
    """At most one."""
    return Rule(name, 0, 1)


def some(name: AvpName) -> Rule:
    """Any number."""
    return Rule(name, 0, None)


_PROTECTION = may(AvpName.AUTH), may(AvpName.ENCRYPTION_ENCAP)
"""What every message may carry that can be protected."""


class Grammar(Record, frozen=True):
    """The AVPs of one message. Unknown AVPs may always be there; AUTH, if any, comes last.

    RFC 5191 section 5.5 calls a message with an unrecognised AVP invalid, while its grammar has
    *[ AVP ] in every message; they are ignored here, so that extensions do no harm.
    """

    label: str
    auth: Auth
    rules: tuple[Rule, ...] = ()
    first: AvpName | None = None

    def check(self, message: Message) -> None:
        """Raise PeerError if AVPs are missing, too many, forbidden or misplaced.

        Of a message with Encryption-Encap nothing is missing before that is opened.
        """
        known = [avp.name for avp in message.avps if type(avp.name) is AvpName]
        rules = self.rules if self.auth is Auth.NEVER else self.rules + _PROTECTION
        if sum([known.count(rule.name) for rule in rules]) != len(known):
            self._refuse_others(message, {rule.name for rule in rules})
        closed = AvpName.ENCRYPTION_ENCAP in known
        for rule in rules:
            count = known.count(rule.name)
            if count < rule.minimum and not closed:
                reason = f"{rule.name.value} is missing in {self.label}"
                raise RefusedError(reason, ErrorCode.MISSING_AVP, Avp(rule.name, b""))
            if rule.maximum is not None and count > rule.maximum:
                reason = f"{self.label} has {count} {rule.name.value} AVPs"
                extra = Avp(rule.name, message.values(rule.name)[rule.maximum])
                raise RefusedError(reason, ErrorCode.AVP_OCCURS_TOO_MANY_TIMES, extra)
        if AvpName.AUTH in known and message.avps[-1].name is not AvpName.AUTH:
            raise PeerError(f"AUTH is not the last AVP of {self.label}")
        if self.first in known and message.avps[0].name is not self.first:
            raise PeerError(f"{self.first.value} is not the first AVP of {self.label}")

    def _refuse_others(self, message: Message, allowed: Collection[AvpName]) -> None:
        for avp in message.avps:
            if isinstance(avp.name, AvpName) and avp.name not in allowed:
                reason = f"{avp.name.value} is not allowed in {self.label}"
                raise RefusedError(reason, ErrorCode.AVP_NOT_ALLOWED, avp)


GrammarTable = Mapping[tuple[Kind, bool], Grammar]
"""The grammar of each message by its kind and whether it is a request."""
