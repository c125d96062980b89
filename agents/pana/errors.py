"""Error codes of draft-ietf-pana-pana-12, and messages refused with one of them."""

from __future__ import annotations

from enum import IntEnum

from agents.core.machine import PeerError
from agents.pana.wire import Avp


class ErrorCode(IntEnum):
    """Result-Codes of a PANA-Error-Request (draft-ietf-pana-pana-12 section 8.16.2)."""

    MESSAGE_UNSUPPORTED = 3001
    UNABLE_TO_DELIVER = 3002
    INVALID_HDR_BITS = 3008
    INVALID_AVP_FLAGS = 3009
    AVP_UNSUPPORTED = 5001
    UNKNOWN_SESSION_ID = 5002
    INVALID_AVP_DATA = 5004
    MISSING_AVP = 5005
    RESOURCES_EXCEEDED = 5006
    CONTRADICTING_AVPS = 5007
    AVP_NOT_ALLOWED = 5008
    AVP_OCCURS_TOO_MANY_TIMES = 5009
    UNSUPPORTED_VERSION = 5011
    UNABLE_TO_COMPLY = 5012
    INVALID_AVP_LENGTH = 5014
    INVALID_MESSAGE_LENGTH = 5015
    PROTECTION_CAPABILITY_UNSUPPORTED = 5016
    PPAC_CAPABILITY_UNSUPPORTED = 5017

    @classmethod
    def describe(cls, number: int | None) -> str:
        """Return the name of a code from the wire, or its number if it has no name."""
        known = {code.value: code.name for code in cls}
        return known.get(number or 0, f"Result-Code {number}")


FATAL = frozenset(
    {
        ErrorCode.UNABLE_TO_DELIVER,
        ErrorCode.UNKNOWN_SESSION_ID,
        ErrorCode.MISSING_AVP,
        ErrorCode.RESOURCES_EXCEEDED,
        ErrorCode.CONTRADICTING_AVPS,
        ErrorCode.UNABLE_TO_COMPLY,
        ErrorCode.PROTECTION_CAPABILITY_UNSUPPORTED,
        ErrorCode.PPAC_CAPABILITY_UNSUPPORTED,
    }
)
"""Codes that end the session of one who gets them under AUTH.

The draft says what 5005, 5016 and 5017 do; the others here leave a session nothing to go on with.
"""


class RefusedError(PeerError):
    """A message that a dialect with error messages answers with one.

    `failed` is what Failed-AVP holds; with `fatal` the session ends after the report.
    """

    def __init__(self, reason: str, code: ErrorCode, *failed: Avp, fatal: bool = False) -> None:
        super().__init__(reason, int(code))
        self.failed = failed
        self.fatal = fatal
