"""Whose CER and CEA are taken, and what the others are told."""

from __future__ import annotations

import random

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import capabilities_answer, capabilities_request
from agents.diameter.events import Close, ConnectionFailed, Send
from agents.diameter.node import Node
from agents.diameter.states import State
from agents.diameter.wire import Avp, Message
from tests.diameter.samples import CLIENT, LOCAL, SERVER, client_config, server_config

CER = capabilities_request(client_config(), LOCAL)
NO_SECURITY, TLS = map(d.INBAND_SECURITY_ID.avp, (0, 1))


def with_avps(message, *avps, without=None):
    kept = (avp for avp in message.avps if without is None or not without.is_code_of(avp))
    return replace(message, avps=(*kept, *avps))


def specific(avp):
    """Return a CER for an application of a vendor's."""
    group = d.VENDOR_SPECIFIC_APPLICATION_ID.avp((d.VENDOR_ID.avp(10415), avp))
    return with_avps(CER, group, without=d.AUTH_APPLICATION_ID)


def answered(octets, **changes):
    """Let a server get a CER; return the answer's code, how it was closed, and the peer's state."""
    node = Node(replace(server_config(), **changes), rng=random.Random(1))
    number = node.handle_accepted(0.0, LOCAL, LOCAL)
    if node.config.tls:
        node.handle_secured(number, frozenset({CLIENT}))
    node.handle_data(number, octets, 0.0)
    answers = [Message.decode(action.data) for action in node.outbox if isinstance(action, Send)]
    codes = [d.RESULT_CODE.find(answer.avps) for answer in answers]
    assert all(answer.command == 257 and not answer.request for answer in answers)
    resets = [action.reset for action in node.outbox if isinstance(action, Close)]
    return codes, resets, node.state(CLIENT) is State.R_OPEN


ANSWERED = [False]
RESET = [True]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (CER, 2001),
        (with_avps(CER, NO_SECURITY), 2001),
        (with_avps(CER, NO_SECURITY, TLS), 2001),
        (with_avps(CER, TLS), 5017),
        (with_avps(CER, d.INBAND_SECURITY_ID.avp(7)), 5017),
        (
            with_avps(CER, d.ACCT_APPLICATION_ID.avp(5), without=d.AUTH_APPLICATION_ID),
            5010,
        ),
        (specific(d.ACCT_APPLICATION_ID.avp(5)), 5010),
        (specific(d.AUTH_APPLICATION_ID.avp(5)), 2001),
        (
            with_avps(CER, d.ACCT_APPLICATION_ID.avp(0xFFFFFFFF), without=d.AUTH_APPLICATION_ID),
            2001,
        ),
        (with_avps(CER, d.ORIGIN_REALM.avp("VISITED.test"), without=d.ORIGIN_REALM), 2001),
        (with_avps(CER, d.ORIGIN_REALM.avp("evil.test"), without=d.ORIGIN_REALM), 3010),
        (with_avps(CER, without=d.HOST_IP_ADDRESS), 5005),
        (with_avps(CER, Avp(4242, b"?")), 5001),
    ],
)
def test_what_a_cer_is_told(message, code):
    codes, closes, is_open = answered(message.encode())
    assert (codes, is_open) == ([code], code == 2001)
    assert closes == ([] if is_open else ANSWERED)


def test_with_tls_from_the_start_no_other_is_needed():
    assert answered(with_avps(CER, TLS).encode(), tls=True) == ([2001], [], True)


def spoilt(position, value):
    octets = bytearray(CER.encode())
    octets[position] = value
    return bytes(octets)


def test_another_version_is_told_so():
    assert answered(spoilt(0, 2)) == ([5011], ANSWERED, False)


def test_an_avp_whose_length_is_wrong_is_told_so():
    assert answered(spoilt(27, 0xF0)) == ([5014], ANSWERED, False)


@pytest.mark.parametrize(
    "octets",
    [
        spoilt(3, len(CER.encode()) - 1),
        spoilt(1, 0xFF),
        spoilt(4, 0),  # An answer.
        replace(CER, command=280).encode(),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_for_capabilities_gets_a_reset(octets):
    assert answered(octets) == ([], RESET, False)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ((TLS,), "TLS is spoken from the start of a connection here, or not at all"),
        ((d.ORIGIN_REALM.avp("evil.test"),), "is of realm 'home.test', not of 'evil.test'"),
    ],
)
def test_a_cea_that_does_not_fit_is_not_taken(changed, reason):
    node = Node(client_config((SERVER, (SERVER, 3868))), rng=random.Random(1))
    node.start(0.0)
    connection = node.outbox.popleft().connection
    node.handle_connected(connection, 0.0, LOCAL)
    cer = Message.decode(node.outbox.popleft().data)
    cea = capabilities_answer(server_config(), LOCAL, cer)
    definition = d.BY_CODE[changed[0].code, None]
    node.handle_data(connection, with_avps(cea, *changed, without=definition).encode(), 0.0)
    (failed,) = [event for event in node.events if isinstance(event, ConnectionFailed)]
    assert reason in failed.reason
    assert node.state(SERVER) is State.CLOSED


def test_accounting_is_said_to_be_spoken_as_such_and_by_who_speaks_it_alone():
    """RFC 6733 section 2.4: base accounting is in Acct-Application-Id."""
    config = replace(client_config(), applications=(5, d.APPLICATION_ACCOUNTING))
    request = capabilities_request(config, LOCAL)
    assert d.AUTH_APPLICATION_ID.find_all(request.avps) == (5,)
    assert d.ACCT_APPLICATION_ID.find_all(request.avps) == (3,)
    assert d.ACCT_APPLICATION_ID.find_all(CER.avps) == ()
    only = with_avps(CER, d.ACCT_APPLICATION_ID.avp(3), without=d.AUTH_APPLICATION_ID)
    assert answered(only.encode())[0] == [5010]
    assert answered(only.encode(), applications=(5, 3))[0] == [2001]
