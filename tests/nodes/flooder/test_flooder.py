"""The stranger's program: its configuration, and the pace of its attempts."""

import asyncio
import io
import json
import random

import msgspec
import pytest

from agents.approaches import pana_ikev1
from agents.core.eventlog import EventLog
from agents.nodes.flooder.main import Count, Flooder
from agents.nodes.flooder.settings import AttackName, FlooderConfiguration, FloodSettings
from testbed.base.places import PROJECT
from testbed.experiment.spec import Spec, SpecError
from topologies import attacked, paper

ATTACKS = AttackName.__args__


def composed(attack, tmp_path):
    settings = pana_ikev1.Settings(flood=FloodSettings(attack=attack, rate=50, limit=3))
    found, *others = pana_ikev1.compose(settings, attacked.TOPOLOGY, tmp_path, tmp_path)
    assert found.name == f"{found.host}-flooder"
    assert not any(one.name.endswith("flooder") for one in others)
    return found.host, msgspec.convert(found.configuration, FlooderConfiguration)


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_is_made_by_the_stranger_beside_its_target(attack, tmp_path):
    host, configuration = composed(attack, tmp_path)

    made = configuration.attack(random.Random(1))
    packets = {made.open(number) for number in range(configuration.flood.limit)}

    assert host == ("E" if attack.startswith("pana_") else "X")
    assert packets
    network = {
        "E": "2001:db8:a::1",
        "X": "2001:db8:b::2" if attack == "diameter" else "2001:db8:100::1",
    }
    assert configuration.target == network[host]


def test_only_hosts_of_a_laboratory_are_targets(tmp_path):
    _, configuration = composed("ikev2_init", tmp_path)
    plain = msgspec.to_builtins(configuration)

    with pytest.raises(msgspec.ValidationError, match="no address of a laboratory"):
        msgspec.convert(plain | {"target": "2606:4700::1"}, FlooderConfiguration)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"rate": 1e6}, "rate"),
        ({"limit": 10**6}, "limit"),
        ({"head_start": 20, "limit": 10}, "head start of 20"),
        ({"attack": "arp"}, "arp"),
        ({"attack": "pana_eap", "sources": "false"}, "pana_eap wants answers"),
    ],
)
def test_floods_are_bounded(settings, complaint):
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert({"attack": "diameter", **settings}, FloodSettings)


def test_a_topology_without_strangers_is_refused(tmp_path):
    text = (PROJECT / "experiments" / "floods.toml").read_text()
    path = tmp_path / "floods.toml"
    path.write_text(text.replace('topology = "attacked"', 'topology = "paper"'))

    with pytest.raises(SpecError, match="topology paper has no stranger on the access link"):
        Spec.load(path)
    composed = pana_ikev1.compose(pana_ikev1.Settings(), paper.TOPOLOGY, tmp_path, tmp_path)
    assert [one.name for one in composed] == ["C-home_network", "B-access_router", "A-mobile_node"]


class Wire:
    """Takes what is sent, and stops the flooder once that is `limit` packets."""

    def __init__(self, count: Count, limit: int, stop: asyncio.Event) -> None:
        self.count = count
        self._limit = limit
        self._stop = stop

    def send(self, _number: int, _packet: bytes) -> None:
        self.count.sent += 1
        if self.count.sent == self._limit:
            self._stop.set()

    def close(self) -> None:
        pass


def test_it_is_ready_after_its_head_start_and_ends_at_its_limit():
    stream, count = io.StringIO(), Count()
    settings = FloodSettings(attack="ikev2_init", rate=2000, head_start=20, limit=40)
    log = EventLog("X", "flooder", stream)

    async def main() -> None:
        stop = asyncio.Event()
        wire = Wire(count, settings.limit, stop)
        packets = [b""] * settings.limit
        async with asyncio.timeout(10):
            await Flooder(settings, packets, wire, count, log).serve(stop)

    asyncio.run(main())

    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events].count("Ready") == 1
    assert events[-1]["event"] == "Flooded"
    assert (events[-1]["attempts"], events[-1]["sent"]) == (40, 40)
