"""The Diameter service on its host: requests and their outcomes, and how it ends."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.core.record import replace
from agents.diameter.config import DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import PeerDown, RequestSent
from agents.nodes.diameter import DiameterService
from tests.diameter.samples import (
    ANSWER,
    CLIENT,
    CLIENT_REALM,
    REQUEST,
    SERVER,
    SERVER_REALM,
    serve,
)
from tests.nodes.net import AAA, NAS, Net

TIMERS = DiameterTimers(disconnect=2.0, reconnect=2.0, watchdog=6.0)
ADDRESS = (AAA, 3868)


class End:
    """A service on a host of its own, and what it has told of."""

    def __init__(self, net, host, config, **options):
        self.net = net
        self.events = []
        self.program = net.program(host)
        self.service = DiameterService(self.program, config, on_event=self.events.append, **options)
        self.service.start()

    def only(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def submit(self, request=REQUEST, timeout=None):
        """Send a request; return the list to which its outcome is added, and its token."""
        outcomes = []
        return outcomes, self.service.submit(request.to_message(), outcomes.append, timeout)

    def ask(self, request=REQUEST):
        """Send a request and have it answered."""
        outcomes, _ = self.submit(request)
        assert self.net.run(60.0, lambda: outcomes)
        (outcome,) = outcomes
        return outcome

    def usable(self, realm=SERVER_REALM, seconds=5.0):
        """Return when requests for a realm can be sent, or why they cannot."""
        told = []
        self.service.when_usable(
            realm, seconds, lambda: told.append(self.net.clock.now), told.append
        )
        assert self.net.run(seconds + 1.0, lambda: told)
        return told[0]

    def stop(self):
        """Stop; return how many seconds that takes."""
        began, stopped = self.net.clock.now, []
        self.service.stop(lambda: stopped.append(self.net.clock.now))
        assert self.net.run(60.0, lambda: stopped)
        return stopped[0] - began


class Pair:
    """A client on B and, if it is there, a server on C."""

    def __init__(self, handler=serve, *, served=True):
        self.net = Net()
        self.handler = handler
        self.there = self.serve() if served else None
        peer = PeerConfig(SERVER, SERVER_REALM, ADDRESS)
        self.here = End(self.net, "B", NodeConfig(CLIENT, CLIENT_REALM, (peer,), timers=TIMERS))

    def serve(self):
        """Start the server, or start it again."""
        peer = PeerConfig(CLIENT, CLIENT_REALM, sources=(IPv6Address(NAS),))
        config = NodeConfig(SERVER, SERVER_REALM, (peer,), timers=TIMERS)
        return End(self.net, "C", config, handler=self.handler, listen=[ADDRESS])


def test_requests_are_answered():
    pair = Pair()
    assert pair.here.usable() == pytest.approx(4 * 0.001)  # The connection, CER and CEA.
    outcomes = [pair.here.submit()[0] for _ in range(20)]
    pair.net.run(1.0)
    answers = {DiameterEapAnswer.from_message(answer) for (answer,) in outcomes}
    assert answers == {ANSWER}


def test_any_one_packet_may_be_lost():
    def run(lost):
        pair = Pair()
        pair.net.world.loses = lambda number, _: number == lost
        assert DiameterEapAnswer.from_message(pair.here.ask()) == ANSWER
        pair.here.stop()
        return len(pair.net.world.sent)

    for lost in range(run(None)):
        run(lost)


def test_a_server_that_comes_back_is_asked_again():
    pair = Pair()
    pair.here.usable()
    outcomes, _ = pair.here.submit()
    pair.there.program.kill()
    assert pair.net.run(1.0, lambda: pair.here.only(PeerDown))
    pair.serve()
    assert pair.net.run(60.0, lambda: outcomes)
    assert DiameterEapAnswer.from_message(outcomes[0]) == ANSWER
    assert [e.retransmitted for e in pair.here.only(RequestSent)] == [False, True]


def refuse(_):
    raise DiameterError("not you", ResultCode.AUTHORIZATION_REJECTED)


def test_a_handler_may_refuse():
    refused = Pair(refuse).here.ask()
    assert isinstance(refused, DiameterError)
    assert "not you" in str(refused)
    assert refused.result_code == ResultCode.AUTHORIZATION_REJECTED


def test_who_has_no_handler_serves_nothing():
    refused = Pair(None).here.ask()
    assert refused.result_code == ResultCode.COMMAND_UNSUPPORTED


def test_a_realm_that_is_not_served():
    other = replace(REQUEST, destination_realm="nowhere.test", destination_host=None)
    refused = Pair().here.ask(other)
    assert isinstance(refused, DiameterError)
    assert refused.result_code == ResultCode.REALM_NOT_SERVED


def test_a_request_ends_by_its_deadline_where_there_is_no_peer():
    pair = Pair(served=False)
    outcomes, _ = pair.here.submit(timeout=3.0)
    pair.net.run(2.9)
    assert outcomes == []
    pair.net.run(0.2)
    (refused,) = outcomes
    assert isinstance(refused, DiameterError)
    assert refused.result_code == ResultCode.UNABLE_TO_DELIVER


def test_a_request_that_is_not_answered_ends_by_its_deadline():
    pair = Pair()
    pair.here.usable()
    outcomes, _ = pair.here.submit(timeout=3.0)
    pair.net.world.loses = lambda *_: True
    pair.net.run(2.9)
    assert outcomes == []
    pair.net.run(0.2)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError]


def test_the_outcome_of_a_request_that_is_withdrawn_is_not_told():
    pair = Pair()
    pair.here.usable()
    outcomes, token = pair.here.submit(timeout=3.0)
    pair.here.service.withdraw(token)
    pair.here.service.withdraw(token)
    pair.net.run(10.0)
    assert outcomes == []


def test_a_peer_that_is_not_there_is_waited_for_and_why_is_told_now_and_then():
    pair, usable, late = Pair(served=False), [], []
    pair.here.service.when_usable(SERVER_REALM, 3.0, lambda: usable.append(True), late.append)
    pair.net.run(3600.0)
    assert late == [f"no Diameter peer for realm {SERVER_REALM!r} yet: Connection refused"] * 1200
    pair.serve()
    assert pair.net.run(60.0, lambda: usable)
    told = len(late)
    pair.net.run(60.0)
    assert len(late) == told


def test_stopping_disconnects():
    pair = Pair()
    pair.here.usable()
    assert pair.here.stop() < 0.01
    pair.net.run(1.0)
    (down,) = pair.there.only(PeerDown)
    assert down.reason == "the peer disconnects, cause 0"
    sent = len(pair.net.world.sent)
    pair.net.run(600.0)
    assert len(pair.net.world.sent) == sent
    assert pair.there.stop() < 0.01


def test_stopping_takes_seconds_though_the_peer_is_deaf():
    pair = Pair()
    pair.here.usable()
    pair.net.world.loses = lambda *_: True
    assert pair.here.stop() <= TIMERS.disconnect + 1.0
    assert pair.here.stop() == 0.0


def test_stopping_fails_what_has_no_answer():
    pair = Pair()
    pair.here.usable()
    outcomes, _ = pair.here.submit()
    pair.here.stop()
    assert len(outcomes) == 1
    assert isinstance(outcomes[0], Exception)


def test_stopping_before_there_is_a_connection():
    pair = Pair(served=False)
    assert pair.here.stop() < 0.01
    pair.net.run(1.0)
    sent = len(pair.net.world.sent)
    pair.net.run(600.0)
    assert len(pair.net.world.sent) == sent


def test_an_address_that_is_taken_is_an_error():
    pair = Pair()
    with pytest.raises(OSError, match="in use"):
        pair.serve()
