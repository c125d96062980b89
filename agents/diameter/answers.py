"""What an answer says of the request that it ends (RFC 6733 sections 6.2 and 7)."""

from __future__ import annotations

from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode, result_name
from agents.diameter.grammar import check
from agents.diameter.values import Definition, T
from agents.diameter.wire import Message


def check_session(answer: Message, request: Message) -> None:
    """Raise DiameterError for an answer about another session (RFC 6733 section 6.2)."""
    said, asked = d.SESSION_ID.find(answer.avps), d.SESSION_ID.find(request.avps)
    if said is not None and said != asked:
        raise DiameterError(f"it is about session {said!r}", ResultCode.UNKNOWN_SESSION_ID)


def check_result(answer: Message) -> None:
    """Raise DiameterError for an answer with the E bit, or one that breaks its grammar.

    A refusal that lacks what its command needs, and the E bit that would excuse it, still says why.
    """
    broken = None
    try:
        check(answer)
    except DiameterError as error:
        broken = error
    if not answer.error and broken is None:
        return
    code = value_of(d.RESULT_CODE, answer)
    if code is None or (broken is not None and code < 3000):
        raise broken or DiameterError("an error without a code", ResultCode.UNABLE_TO_COMPLY)
    text = value_of(d.ERROR_MESSAGE, answer)
    reason = result_name(code) + (f": {text!r}" if text else "")
    raise DiameterError(reason, code, answer=answer)


def value_of(definition: Definition[T], message: Message) -> T | None:
    """Return an AVP's value, None if there is none or it is a bad one."""
    try:
        return definition.find(message.avps)
    except DiameterError:
        return None
