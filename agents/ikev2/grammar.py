"""Which payloads each message has, as data, checked before any handler (RFC 7296 appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from agents.core.machine import PeerError
from agents.core.record import Record
from agents.ikev2.constants import NotifyType, PayloadType
from agents.ikev2.payloads import Notification
from agents.ikev2.wire import Payload


class Form(Enum):
    """The messages that differ in what they hold."""

    INIT = auto()
    AUTH_REQUEST = auto()
    AUTH_RESPONSE = auto()
    EAP_START = auto()
    EAP = auto()
    EAP_FINAL = auto()
    CHILD = auto()
    IKE_REKEY = auto()
    INFORMATIONAL = auto()


_T = PayloadType
_ONE, _OPTIONAL, _ANY = (1, 1), (0, 1), (0, 16)
_CHILD_OFFER = {_T.SA: _ONE, _T.TS_I: _ONE, _T.TS_R: _ONE, _T.CP: _OPTIONAL}

RULES: dict[Form, dict[PayloadType, tuple[int, int]]] = {
    Form.INIT: {_T.SA: _ONE, _T.KE: _ONE, _T.NONCE: _ONE, _T.CERT_REQUEST: _ANY},
    Form.AUTH_REQUEST: {
        _T.ID_I: _ONE,
        _T.ID_R: _OPTIONAL,
        _T.CERT: _ANY,
        _T.CERT_REQUEST: _ANY,
        _T.AUTH: _OPTIONAL,
        **_CHILD_OFFER,
    },
    Form.AUTH_RESPONSE: {
        _T.ID_R: _ONE,
        _T.CERT: _ANY,
        _T.AUTH: _ONE,
        _T.SA: _OPTIONAL,
        _T.TS_I: _OPTIONAL,
        _T.TS_R: _OPTIONAL,
        _T.CP: _OPTIONAL,
    },
    Form.EAP_START: {_T.ID_R: _ONE, _T.CERT: _ANY, _T.AUTH: _ONE, _T.EAP: _ONE},
    Form.EAP: {_T.EAP: _ONE},
    Form.EAP_FINAL: {
        _T.AUTH: _ONE,
        _T.SA: _OPTIONAL,
        _T.TS_I: _OPTIONAL,
        _T.TS_R: _OPTIONAL,
        _T.CP: _OPTIONAL,
    },
    Form.CHILD: {_T.NONCE: _ONE, _T.KE: _OPTIONAL, **_CHILD_OFFER},
    Form.IKE_REKEY: {_T.SA: _ONE, _T.NONCE: _ONE, _T.KE: _ONE},
    Form.INFORMATIONAL: {_T.DELETE: _ANY, _T.CP: _OPTIONAL},
}
"""The least and greatest count of each payload; notifications, vendor ids and unknown payloads
may come with any message, other payloads only where they are named."""

_KNOWN = frozenset(PayloadType)
_EVERYWHERE = frozenset({_T.NOTIFY, _T.VENDOR})


class Contents(Record, frozen=True):
    """The payloads of a checked message and its notifications."""

    payloads: tuple[Payload, ...]
    notifications: tuple[Notification, ...]

    @classmethod
    def of(cls, payloads: Sequence[Payload]) -> Contents:
        """Decode the notifications among the payloads; raises WireError."""
        notes = [Notification.decode(p.body) for p in payloads if p.type == _T.NOTIFY]
        return cls(tuple(payloads), tuple(notes))

    def check(self, form: Form) -> None:
        """Raise PeerError unless the payloads are those of this message."""
        rule = RULES[form]
        types = [p.type for p in self.payloads]
        for kind, (least, most) in rule.items():
            if not least <= (count := types.count(kind)) <= most:
                raise _syntax(form, f"{count} {kind.name} payloads")
        for kind in sorted(_KNOWN.intersection(types)):
            if kind not in rule and kind not in _EVERYWHERE:
                raise _syntax(form, f"a {PayloadType(kind).name} payload")

    def has(self, kind: int) -> bool:
        """Return whether there is a payload of this type."""
        return any(p.type == kind for p in self.payloads)

    def get(self, kind: int) -> bytes:
        """Return the body of the first payload of this type; raises PeerError without one."""
        for p in self.payloads:
            if p.type == kind:
                return p.body
        raise PeerError(f"no {PayloadType(kind).name} payload", NotifyType.INVALID_SYNTAX)

    def all(self, kind: int) -> list[bytes]:
        """Return the bodies of all payloads of this type."""
        return [p.body for p in self.payloads if p.type == kind]

    def note(self, kind: int) -> Notification | None:
        """Return the first notification of this type."""
        return next((n for n in self.notifications if n.type == kind), None)

    @property
    def error(self) -> Notification | None:
        """The first notification of an error."""
        return next((n for n in self.notifications if NotifyType.is_error(n.type)), None)


def _syntax(form: Form, what: str) -> PeerError:
    name = form.name.replace("_", " ")
    return PeerError(f"{name} with {what}", NotifyType.INVALID_SYNTAX)
