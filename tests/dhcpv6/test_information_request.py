"""The client: what it asks, when it asks again, what it believes."""

import random
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.machine import Discarded, Timing
from agents.core.record import replace
from agents.dhcpv6.client import InformationRequest
from agents.dhcpv6.events import Failed, HomeAgentLearned, Started
from agents.dhcpv6.home import Home, HomeInformation
from agents.dhcpv6.wire import Message, MessageType, Option, OptionCode, encode_name
from tests.dhcpv6.world import CARE_OF, CLIENT, DUID, HOME, NETWORK, SERVER_DUID, Server, World

SERVER = ("fe80::d%A-eth0", 547)
LEARNED_LOCAL = HomeAgentLearned(
    pytest.approx(0.01),
    (IPv6Address("2001:db8:99::1"),),
    IPv6Network("2001:db8:99::/64"),
    None,
    True,
    86400,
)


def client(homes=(Home.LOCAL,), **options):
    return InformationRequest(
        DUID, homes, **{"rng": random.Random(1), "network": NETWORK, "max_delay": 0.0, **options}
    )


def asking(**options):
    """Return a client with one request out, and the request."""
    machine = client(**options)
    machine.start(0.0)
    ((data, _),) = machine.outbox
    machine.outbox.clear()
    machine.events.clear()
    return machine, Message.decode(data)


def codes(message):
    value = message.value(OptionCode.ORO)
    return [int.from_bytes(value[i : i + 2]) for i in range(0, len(value), 2)]


def reply(request, *options, client_id=DUID, server_id=SERVER_DUID, **changes):
    head = [
        Option(code, value) for code, value in ((1, client_id), (2, server_id)) if value is not None
    ]
    message = Message(MessageType.REPLY, request.transaction_id, (*head, *options))
    return replace(message, **changes).encode()


LOCAL = HomeInformation(Home.LOCAL, addresses=(IPv6Address("2001:db8:99::1"),)).to_option()


def test_the_local_home_agent_takes_one_exchange():
    world = World([Home.LOCAL], relayed=False).run()
    assert list(world.client.events) == [Started(0.0), LEARNED_LOCAL]
    assert len(world.sent) == 2


def test_what_is_asked_for_the_visited_network():
    request = Message.decode(World([Home.LOCAL], relayed=False).run().sent[0][2])
    assert request.kind == MessageType.INFORMATION_REQUEST
    assert codes(request) == [49, 71, 72, 73, 50, 32, 83]
    assert request.value(OptionCode.CLIENT_ID) == DUID
    assert request.value(OptionCode.ELAPSED_TIME) == b"\0\0"
    assert request.all(OptionCode.MIP6_HNIDF) == ()


def test_what_is_asked_for_the_home_network():
    machine = client([Home.IDENTIFIED, Home.LOCAL], interface="eth1")
    machine.start(0.0)
    ((data, destination),) = machine.outbox
    request = Message.decode(data)
    assert destination == ("ff02::1:2%eth1", 547)
    assert codes(request) == [49, 71, 72, 73, 69, 50, 32, 83]
    assert request.value(OptionCode.MIP6_HNIDF) == encode_name(NETWORK)


def test_the_preferred_home_network_wins():
    for homes, local in (
        ((Home.IDENTIFIED, Home.LOCAL), False),
        ((Home.LOCAL, Home.IDENTIFIED), True),
    ):
        world = World(homes)
        world.relay.set_information(1, CARE_OF, HOME, NETWORK)
        (learned,) = world.run().only(HomeAgentLearned)
        assert learned.local is local


def test_the_first_message_is_delayed_at_random():
    starts = set()
    for seed in range(20):
        machine = client(rng=random.Random(seed), max_delay=1.0)
        machine.start(10.0)
        assert not machine.outbox
        due = machine.next_timeout()
        assert 10.0 <= due <= 11.0
        machine.handle_timeout(due)
        assert len(machine.outbox) == 1
        assert list(machine.events) == [Started(due)]
        starts.add(due)
    assert len(starts) == 20


@pytest.mark.parametrize("lost", [{0}, {1}])
def test_a_lost_message_is_sent_again_with_its_identifier_and_the_time_elapsed(lost):
    world = World([Home.LOCAL], relayed=False, drop=lost).run()
    assert len(world.only(HomeAgentLearned)) == 1
    requests = [m for m in (Message.decode(d) for _, _, d in world.sent) if m.kind == 11]
    times = [t for t, source, _ in world.sent if source == CLIENT]
    assert 0.9 <= times[1] <= 1.1
    assert requests[0].transaction_id == requests[1].transaction_id
    elapsed = int.from_bytes(requests[1].value(OptionCode.ELAPSED_TIME))
    assert elapsed == int(times[1] * 100)


def test_silence_fails_at_the_deadline_after_doubling_waits():
    world = World([Home.LOCAL], relayed=False, drop=range(99)).run()
    times = [t for t, _, _ in world.sent]
    waits = [b - a for a, b in pairwise(times)]
    assert len(times) == 6
    for earlier, later in pairwise(waits):
        assert 1.9 * earlier <= later <= 2.1 * earlier
    assert world.only(Failed) == [Failed(30.0, "no valid Reply within 30 s")]
    assert world.client.next_timeout() is None


def test_a_count_of_transmissions_can_end_it():
    world = World([Home.LOCAL], relayed=False, drop=range(9), timing=Timing(0.5, count=2)).run()
    (failed,) = world.only(Failed)
    assert failed.reason == "no valid Reply to 2 messages"


def test_the_elapsed_time_has_a_ceiling():
    machine, _ = asking(timing=Timing(2000.0), deadline=1e6)
    machine.handle_timeout(machine.next_timeout())
    ((data, _),) = machine.outbox
    assert Message.decode(data).value(OptionCode.ELAPSED_TIME) == b"\xff\xff"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"transaction_id": 1}, "no message that waits"),
        ({"server_id": None}, "Reply without SERVER_ID"),
        ({"server_id": b"x"}, "broken server identifier"),
        ({"client_id": None}, "another client"),
        ({"client_id": b"somebody"}, "another client"),
        ({"kind": MessageType.ADVERTISE}, "Advertise at a client"),
        ({"kind": MessageType.INFORMATION_REQUEST}, "Information-request at a client"),
        ({"kind": MessageType.RECONFIGURE}, "Reconfigure at a client"),
        ({"kind": 200}, "message of type 200 at a client"),
    ],
)
def test_a_message_that_is_no_valid_reply_is_discarded(changes, reason):
    machine, request = asking()
    machine.handle_message(reply(request, LOCAL, **changes), SERVER, 0.1)
    (event,) = machine.events
    assert type(event) is Discarded
    assert reason in event.reason
    # The right one still counts.
    machine.handle_message(reply(request, LOCAL), SERVER, 0.2)
    assert type(machine.events[-1]) is HomeAgentLearned


@pytest.mark.parametrize("source", ["ff02::1:2", "::", "::1"])
def test_a_reply_from_no_host_is_discarded(source):
    machine, request = asking()
    machine.handle_message(reply(request, LOCAL), (source, 547), 0.1)
    (event,) = machine.events
    assert event == Discarded(0.1, source, "a source that no host can have")


def test_a_reply_before_the_question_is_discarded():
    machine = client(max_delay=1.0)
    machine.start(0.0)
    guess = Message(MessageType.REPLY, 0)
    for now in (0.0, 0.1):
        machine.handle_message(reply(guess, LOCAL), SERVER, now)
    assert {type(event) for event in machine.events} == {Discarded}


def test_a_transaction_identifier_is_new_for_every_exchange_and_unlike_the_last():
    identifiers = []
    for seed in range(50):
        _, request = asking(rng=random.Random(seed))
        identifiers.append(request.transaction_id)
    assert len(set(identifiers)) == 50
    assert max(identifiers) > 1 << 22


def test_a_relay_agents_message_is_discarded():
    machine, _ = asking()
    machine.handle_message(b"\x0d" + bytes(33), SERVER, 0.1)
    assert type(machine.events[0]) is Discarded


def test_a_second_reply_is_discarded():
    machine, request = asking()
    for _ in range(2):
        machine.handle_message(reply(request, LOCAL), SERVER, 0.1)
    assert [type(e) for e in machine.events] == [HomeAgentLearned, Discarded]


def test_a_reply_without_a_home_agent_ends_the_exchange():
    world = World([Home.IDENTIFIED, Home.LOCAL], server=Server(local=None)).run()
    (failed,) = world.only(Failed)
    assert failed.reason == (
        "the Reply is of no use (identified: no home network information, "
        "local: no home network information)"
    )


def test_options_outside_the_containers_are_passed_over():
    machine, request = asking()
    stray = Option(OptionCode.MIP6_HAA, IPv6Address("2001:db8::bad").packed)
    machine.handle_message(reply(request, stray), SERVER, 0.1)
    assert type(machine.events[0]) is Failed
    machine, request = asking()
    machine.handle_message(reply(request, stray, LOCAL), SERVER, 0.1)
    assert machine.events[0].addresses == (IPv6Address("2001:db8:99::1"),)


def test_a_home_agent_by_name_alone():
    machine, request = asking()
    named = HomeInformation(Home.LOCAL, names=("ha.visited.test",)).to_option()
    machine.handle_message(reply(request, named), SERVER, 0.1)
    (learned,) = machine.events
    assert (learned.addresses, learned.prefix, learned.fqdn) == ((), None, "ha.visited.test")


@pytest.mark.parametrize("status", [1, 5])
def test_after_a_failure_status_the_request_goes_on_until_the_deadline(status):
    machine, request = asking()
    refusal = reply(request, Option(OptionCode.STATUS_CODE, bytes((0, status)) + b"busy"))
    machine.handle_message(refusal, SERVER, 0.1)
    assert type(machine.events.popleft()) is Discarded
    while (at := machine.next_timeout()) is not None:
        machine.handle_timeout(at)
    (failed,) = machine.events
    assert failed.reason.endswith("(busy)")
    assert len(machine.outbox) == 4


def test_another_status_does_no_harm():
    machine, request = asking()
    noted = Option(OptionCode.STATUS_CODE, b"\0\0fine")
    machine.handle_message(reply(request, noted, LOCAL), SERVER, 0.1)
    assert type(machine.events[0]) is HomeAgentLearned


def test_the_servers_inf_max_rt_is_for_the_next_exchange():
    machine, request = asking(deadline=1e5)
    options = [Option.number(OptionCode.INF_MAX_RT, 60, 4), LOCAL]
    machine.handle_message(reply(request, *options), SERVER, 0.1)
    machine.start(1.0)
    times = []
    while (at := machine.next_timeout()) < 1000:
        machine.handle_timeout(at)
        times.append(at)
    assert times[-1] - times[-2] <= 66
    machine, request = asking(deadline=1e5)
    machine.handle_message(reply(request, Option.number(83, 59, 4), LOCAL), SERVER, 0.1)
    machine.start(1.0)
    for _ in range(12):
        machine.handle_timeout(machine.next_timeout())
    assert machine.next_timeout() > 2000


@pytest.mark.parametrize(
    ("option", "lifetime"),
    [
        (None, 86400),
        (Option.number(32, 1000, 4), 1000),
        (Option.number(32, 10, 4), 600),
        (Option.number(32, 0xFFFFFFFF, 4), None),
    ],
)
def test_information_is_refreshed_when_it_is_old(option, lifetime):
    machine, request = asking()
    options = [LOCAL] if option is None else [LOCAL, option]
    machine.handle_message(reply(request, *options), SERVER, 0.5)
    assert machine.events.popleft().lifetime == lifetime
    if lifetime is None:
        assert machine.next_timeout() is None
        return
    assert machine.next_timeout() == 0.5 + lifetime
    machine.handle_timeout(0.5 + lifetime)
    assert type(machine.events.popleft()) is Started
    ((data, _),) = machine.outbox
    assert Message.decode(data).transaction_id != request.transaction_id


def test_starting_twice_is_starting_once():
    machine = client()
    machine.start(0.0)
    machine.start(0.1)
    assert len(machine.outbox) == 1


@pytest.mark.parametrize(
    "options",
    [{"homes": ()}, {"homes": (Home.IDENTIFIED,), "network": None}],
)
def test_impossible_wishes(options):
    with pytest.raises(ValueError, match="home network"):
        client(**options)
    with pytest.raises(ValueError, match="DUID"):
        InformationRequest(b"", [Home.LOCAL], rng=random.Random(1))


def test_every_truncation_of_a_reply_is_discarded_or_of_no_use():
    machine, request = asking()
    data = reply(request, LOCAL)
    for length in range(len(data)):
        machine, request = asking()
        machine.handle_message(data[:length], SERVER, 0.1)
        assert [type(e) for e in machine.events] in ([Discarded], [Failed])


@settings(max_examples=200)
@given(data=st.data())
def test_random_bytes_do_no_harm(data):
    machine, request = asking()
    junk = data.draw(st.binary(max_size=100))
    if data.draw(st.booleans()):
        changed = bytearray(reply(request, LOCAL))
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        junk = bytes(changed)
    elif data.draw(st.booleans()):
        junk = reply(request)[:] + junk
    machine.handle_message(junk, SERVER, 0.1)
    assert len(machine.events) == 1
