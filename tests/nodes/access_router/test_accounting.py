"""What an access router accounts for, by PANA sessions and their addresses."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from agents.core.usage import Usage
from agents.diameter import dictionary as d
from agents.diameter.accounting import AccountingRequest
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import ResultCode
from agents.kernel.model import ModelKernel
from agents.kernel.model_port import ModelMeter
from agents.nodes.access_router.accounting import AccessAccounting
from agents.nodes.accounting import REST
from tests.nodes.net import COA, NEXT_COA, OTHER_COA, Net


class World:
    """The accounting of an access router, whose kernel counts what a test says."""

    identity, realm = "b.test", "test"

    def __init__(self) -> None:
        self.net = Net()
        self.records: list[AccountingRequest] = []
        self.host = self.net.program("B")
        self.meter = ModelMeter(ModelKernel())
        self.accounting = AccessAccounting(
            self.host, self, self.meter, self.net.log("B"), epoch=0.0
        )

    def account(self, record: AccountingRequest, confirmed) -> None:
        self.records.append(record)
        confirmed(None)

    def do(self, method: str, *arguments: Hashable) -> None:
        self.host.enter(getattr(self.accounting, method), *arguments)

    def open(self, number: int, address=COA, name: str = "") -> None:
        """Let a session in."""
        session_id = name or f"b.test;1;{number}"
        answer = DiameterEapAnswer(session_id, ResultCode.SUCCESS, "aaa.test", "home.test")
        self.do("grant", number, answer, address)
        self.do("begin", number, address)
        self.net.run(2 * REST)

    def passes(self, packets: int, address=COA) -> None:
        """Count packets of ten octets from an address."""
        counted = self.meter.kernel.counted.of
        counted[address] = counted[address] + Usage(10 * packets, packets)

    def stops(self) -> dict[str, tuple[int, int | None]]:
        """Return by session how many packets were charged for, and why it has ended."""
        return {
            record.session_id: (record.usage.input_packets if record.usage else -1, record.cause)
            for record in self.records
            if record.record_type is d.AccountingRecordType.STOP
        }


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("cause", "said"),
    [("LOGOUT", 1), ("ADMINISTRATIVE", 4), ("SESSION_TIMEOUT", 8), ("no answer", 5)],
)
def test_a_session_is_charged_for_until_it_ends(world, cause, said):
    world.open(1)
    world.passes(3)
    world.do("end", 1, cause)
    assert world.stops() == {"b.test;1;1": (3, said)}
    assert world.meter.kernel.counted.of == {}
    world.do("end", 1, cause)
    assert len(world.records) == 2


def test_what_passes_before_the_node_is_told_is_charged_too(world):
    answer = DiameterEapAnswer("b.test;1;1", ResultCode.SUCCESS, "aaa.test", "home.test")
    world.do("grant", 1, answer, COA)
    world.passes(1)
    world.do("begin", 1, COA)
    world.do("end", 1, "LOGOUT")
    assert world.stops()["b.test;1;1"][0] == 1


def test_who_never_confirms_is_charged_nothing(world):
    answer = DiameterEapAnswer("b.test;1;1", ResultCode.SUCCESS, "aaa.test", "home.test")
    world.do("grant", 1, answer, COA)
    world.do("end", 1, "no answer")
    assert world.records == []
    assert world.meter.kernel.counted.of == {}


def test_who_moves_is_charged_for_both_addresses(world):
    world.open(1)
    world.passes(3)
    world.do("move", 1, NEXT_COA)
    assert set(world.meter.kernel.counted.of) == {NEXT_COA}
    world.passes(4, NEXT_COA)
    world.do("end", 1, "LOGOUT")
    assert world.stops()["b.test;1;1"][0] == 7
    assert world.records[-1].care_of_address == NEXT_COA


def test_who_authenticates_anew_is_charged_in_two_parts(world):
    world.open(1, name="one")
    world.passes(3)
    world.open(1, name="two")
    world.passes(4)
    world.do("end", 1, "LOGOUT")
    assert world.stops() == {"one": (3, 6), "two": (4, 1)}


def test_one_address_is_not_charged_twice(world):
    """A mobile node that has lost its session makes another at the same address."""
    world.open(1)
    world.passes(3)
    world.open(2)
    world.passes(4)
    world.do("end", 1, "SESSION_TIMEOUT")
    world.passes(5)
    world.do("end", 2, "LOGOUT")
    assert world.stops() == {"b.test;1;1": (3, 8), "b.test;1;2": (9, 1)}
    assert world.meter.kernel.counted.of == {}


def test_an_address_is_the_earlier_sessions_again_when_the_later_one_is_over(world):
    world.open(1)
    world.passes(3)
    for number in (2, 3):
        world.open(number)
        world.passes(number * 10)
    world.do("end", 3, "LOGOUT")
    world.passes(1)
    world.do("end", 2, "LOGOUT")
    world.passes(4)
    world.do("end", 1, "LOGOUT")
    charged = {name: packets for name, (packets, _) in world.stops().items()}
    assert charged == {"b.test;1;1": 7, "b.test;1;2": 21, "b.test;1;3": 30}
    assert world.meter.kernel.counted.of == {}


def test_who_moves_leaves_an_address_to_the_earlier_session(world):
    world.open(1)
    world.open(2)
    world.passes(2)
    world.do("move", 2, NEXT_COA)
    world.passes(3)
    world.passes(4, NEXT_COA)
    for number in (1, 2):
        world.do("end", number, "LOGOUT")
    assert [packets for packets, _ in world.stops().values()] == [3, 6]
    assert world.meter.kernel.counted.of == {}


def test_who_never_confirms_takes_nothing_from_an_earlier_session(world):
    world.open(1)
    answer = DiameterEapAnswer("b.test;1;2", ResultCode.SUCCESS, "aaa.test", "home.test")
    world.do("grant", 2, answer, COA)
    world.passes(3)
    world.do("end", 2, "no answer")
    world.passes(4)
    world.do("end", 1, "LOGOUT")
    assert world.stops() == {"b.test;1;1": (7, 1)}


def test_what_a_kernel_does_not_tell_to_the_earlier_session_it_is_not_charged(world):
    world.open(1)
    world.open(2)
    world.meter.failures["usage"] = 5
    world.do("end", 2, "LOGOUT")
    world.meter.failures.clear()
    world.passes(3)
    world.do("end", 1, "LOGOUT")
    assert world.stops()["b.test;1;1"][0] == -1
    assert world.meter.kernel.counted.of == {}


def test_others_are_counted_apart(world):
    world.open(1)
    world.open(2, OTHER_COA)
    world.passes(3)
    world.passes(4, OTHER_COA)
    for number in (1, 2):
        world.do("end", number, "LOGOUT")
    assert [packets for packets, _ in world.stops().values()] == [3, 4]


def test_a_kernel_that_does_not_count_costs_nobody_access(world):
    world.meter.failures["count"] = 5
    world.open(1)
    world.do("end", 1, "LOGOUT")
    (told,) = world.net.told("MeterFailed")
    assert told["address"] == str(COA)
    assert [record.record_type.name for record in world.records] == ["START", "STOP"]
    assert world.stops()["b.test;1;1"][0] == -1


def test_what_a_kernel_does_not_tell_is_not_charged(world):
    world.open(1)
    world.meter.failures["usage"] = 5
    world.do("end", 1, "LOGOUT")
    assert world.stops() == {"b.test;1;1": (-1, 1)}
