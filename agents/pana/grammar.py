"""Message grammar as data: which AVPs a message may and must carry (RFC 5191 section 7)."""

from __future__ import annotations

from collections.abc import Mapping
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
        known = [avp.name for avp in message.avps if isinstance(avp.name, AvpName)]
        rules = {rule.name: rule for rule in self.rules}
        if self.auth is not Auth.NEVER:
            rules[AvpName.AUTH] = may(AvpName.AUTH)
            rules[AvpName.ENCRYPTION_ENCAP] = may(AvpName.ENCRYPTION_ENCAP)
        for avp in message.avps:
            if isinstance(avp.name, AvpName) and avp.name not in rules:
                reason = f"{avp.name.value} is not allowed in {self.label}"
                raise RefusedError(reason, ErrorCode.AVP_NOT_ALLOWED, avp)
        for rule in rules.values():
            self._count(rule, message, closed=AvpName.ENCRYPTION_ENCAP in known)
        if AvpName.AUTH in known and message.avps[-1].name is not AvpName.AUTH:
            raise PeerError(f"AUTH is not the last AVP of {self.label}")
        if self.first in known and message.avps[0].name is not self.first:
            raise PeerError(f"{self.first.value} is not the first AVP of {self.label}")

    def _count(self, rule: Rule, message: Message, *, closed: bool) -> None:
        values = message.values(rule.name)
        if len(values) < rule.minimum and not closed:
            reason = f"{rule.name.value} is missing in {self.label}"
            raise RefusedError(reason, ErrorCode.MISSING_AVP, Avp(rule.name, b""))
        if rule.maximum is not None and len(values) > rule.maximum:
            reason = f"{self.label} has {len(values)} {rule.name.value} AVPs"
            extra = Avp(rule.name, values[rule.maximum])
            raise RefusedError(reason, ErrorCode.AVP_OCCURS_TOO_MANY_TIMES, extra)


GrammarTable = Mapping[tuple[Kind, bool], Grammar]
"""The grammar of each message by its kind and whether it is a request."""
