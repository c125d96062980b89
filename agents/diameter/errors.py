"""Result codes and the error that carries one (RFC 6733 section 7.1)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from agents.core.machine import PeerError

if TYPE_CHECKING:
    from agents.diameter.wire import Avp, Message


class ResultCode(IntEnum):
    """Values of the Result-Code AVP (RFC 6733 section 7.1, RFC 5778 section 7)."""

    MULTI_ROUND_AUTH = 1001
    SUCCESS = 2001
    LIMITED_SUCCESS = 2002
    SUCCESS_RELOCATE_HA = 2009  # RFC 5778 section 7.1, which nobody here obeys: it is refused.
    COMMAND_UNSUPPORTED = 3001
    UNABLE_TO_DELIVER = 3002
    REALM_NOT_SERVED = 3003
    TOO_BUSY = 3004
    LOOP_DETECTED = 3005
    REDIRECT_INDICATION = 3006
    APPLICATION_UNSUPPORTED = 3007
    INVALID_HDR_BITS = 3008
    INVALID_AVP_BITS = 3009
    UNKNOWN_PEER = 3010
    AUTHENTICATION_REJECTED = 4001
    OUT_OF_SPACE = 4002
    ELECTION_LOST = 4003
    AVP_UNSUPPORTED = 5001
    UNKNOWN_SESSION_ID = 5002
    AUTHORIZATION_REJECTED = 5003
    INVALID_AVP_VALUE = 5004
    MISSING_AVP = 5005
    RESOURCES_EXCEEDED = 5006
    CONTRADICTING_AVPS = 5007
    AVP_NOT_ALLOWED = 5008
    AVP_OCCURS_TOO_MANY_TIMES = 5009
    NO_COMMON_APPLICATION = 5010
    UNSUPPORTED_VERSION = 5011
    UNABLE_TO_COMPLY = 5012
    INVALID_BIT_IN_HEADER = 5013
    INVALID_AVP_LENGTH = 5014
    INVALID_MESSAGE_LENGTH = 5015
    INVALID_AVP_BIT_COMBO = 5016
    NO_COMMON_SECURITY = 5017
    ERROR_MIP6_AUTH_MODE = 5041


def result_name(code: int) -> str:
    """Return a result code as the RFC writes it, with its number."""
    try:
        return f"DIAMETER_{ResultCode(code).name} ({code})"
    except ValueError:
        return f"result code {code}"


def is_protocol_error(code: int) -> bool:
    """Tell whether answers with this result code carry the E bit (RFC 6733 section 7.1.3)."""
    return 3000 <= code < 4000


def is_refusal(code: int) -> bool:
    """Tell whether an answer with this result code grants nothing (RFC 6733 section 7.1)."""
    return code >= 3000


class DiameterError(PeerError):
    """A message that Diameter refuses, with its Result-Code.

    `failed` is the AVP for Failed-AVP, `answer` the peer's answer if it was the peer that refused.
    """

    def __init__(
        self, reason: str, code: int, failed: Avp | None = None, answer: Message | None = None
    ) -> None:
        super().__init__(reason, code)
        self.result_code = code
        self.failed = failed
        self.answer = answer
