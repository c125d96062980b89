"""The corpus of each target, some inputs much like it, and what was found once.

`make fuzz INPUTS=1000000` has coverage guide any number of them.
"""

import gc
import random
import re
import subprocess
import tracemalloc
from functools import cache

import pytest

from testbed.base.places import PROJECT
from tests.bad_bytes import ike, nodes, pana
from tests.bad_bytes.__main__ import main
from tests.bad_bytes.exchange import Kept
from tests.bad_bytes.findings import Findings
from tests.bad_bytes.target import HungError, Target, kept
from tests.bad_bytes.targets import ALL

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # Of cryptography, about strange DER.

ALTERED = 40
"""Inputs of each target beside its corpus."""


MILESTONES = (
    ("pana", "Started"),
    ("pana", "Authenticated"),
    ("ikev2", "IkeStarted"),
    ("ikev2", "ChildEstablished"),
    ("mip6", "BindingUpdateSent"),
    ("mip6", "BindingAccepted"),
)


def ended_at(time):
    """Return the events of a bootstrap of which all but the last are at 1 ns."""
    told = [*((1, *name) for name in MILESTONES[:-1]), (time, *MILESTONES[-1])]
    line = '{{"t": {}, "host": "A", "agent": "{}", "event": "{}"}}\n'
    return "".join(line.format(*one) for one in told).encode()


FOUND = {
    "a CRL whose issuer has a relative name without attributes": (
        "revocations",
        "3031020101300a06082a8648ce3d04030230023100"
        "170d3236313132393136313735305a170d3236313230393136313735305a",
    ),
    "an event that is a number": ("events", "350a"),
    "an event without a name": ("events", "7b7d"),
    "a line that once ended the record of events": ("events", "00"),
    "a line of events that is nested deeply": ("events", "5b" * 3000),
    "an event at a time that no float holds": ("events", ended_at(7 * 10**400).hex()),
    "an error of the kernel that has no text": (
        "kernel",
        "02" + "14000000" + "0200" + "0000" + "01000000" + "00000000" + "00000080",
    ),
    "a route without its header": ("kernel", "06"),
    "a route whose interface has no 4 octets": ("kernel", "06" + "00" * 12 + "06000400ff"),
    "a verdict without a table": ("kernel", "090a8080000047000600000000"),
    "an address without its header": ("kernel", "07"),
    "a proxy without its header": ("kernel", "08"),
}
"""The smallest inputs that once did what they must not."""


@cache
def target(name):
    return ALL[name]()


@cache
def inputs(name):
    """Return seeds, corpus, and some of them altered."""
    corpus = [*target(name).seeds, *kept(name)]
    rng = random.Random(name)
    return [*corpus, *(target(name).alter(rng.choice(corpus), rng, rng.choice(corpus))
                       for _ in range(ALTERED))]  # fmt: skip


def assert_nothing_found(name, octets):
    findings = Findings()
    for data in octets:
        findings.look(target(name), data)
    told = [f"--target {name} --input {d.hex()}\n{t}" for d, t in findings.smallest.values()]
    assert not told, "\n".join(told)


@pytest.mark.parametrize("name", ALL)
def test_bad_octets_do_nothing_but_what_is_declared(name):
    assert_nothing_found(name, inputs(name))


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_once_does_not_come_back(what):
    name, octets = FOUND[what]
    assert_nothing_found(name, [bytes.fromhex(octets)])


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_kept_of_what_has_come(name):
    some, kept_after = inputs(name)[-8:], []
    tracemalloc.start()
    for _ in range(3):  # After the first turn there is what is remembered on purpose.
        for data in some:
            Findings().look(target(name), data)
        gc.collect()
        kept_after.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert kept_after[2] - kept_after[1] < 1000 * len(some)


@pytest.mark.parametrize("name", ALL)
def test_a_header_is_put_right(name):
    seeds = target(name).seeds
    assert [target(name).fix(seed) for seed in seeds] == list(seeds)


def test_a_target_tells_what_it_must_not_raise_and_what_takes_long():
    def take(data):
        if data == b"odd":
            raise KeyError(data)
        while data == b"long":
            if sum(range(10_000_000)):
                return

    strict = Target(take, [], (ValueError,), longest=0.01)
    strict.check(b"even")
    with pytest.raises(KeyError):
        strict.check(b"odd")
    with pytest.raises(HungError):
        strict.check(b"long")


@pytest.mark.parametrize("made", [ike.ikev1_exchange, ike.ikev2_exchange, pana.exchange])
def test_what_stands_in_the_place_of_a_message_is_protected_as_that_was(made):
    """With nothing changed in it, all goes on as if it had been left alone."""
    exchange = made()
    points, seeds = exchange.points[:40], exchange.seeds
    assert any(point.protected for point in points)
    for point, seed in zip(points, seeds, strict=False):
        alone, scene = point.scene.again(), exchange.take(seed)
        alone.step()
        alone.go_on()
        for one, other in zip(alone.link.machines, scene.link.machines, strict=True):
            assert [repr(e) for e in one.events] == [repr(e) for e in other.events]


def test_what_a_function_has_closed_over_is_copied_with_it():
    """Else what comes of an input would be done to the machine from which all copies are made."""

    class Machine:
        def __init__(self):
            self.told = []
            self.tell = lambda: self.told.append("it")

    machine = Machine()
    copy = Kept(machine).again()
    copy.tell()
    assert (machine.told, copy.told) == ([], ["it"])


def test_a_mobile_node_that_is_told_what_is_right_is_bootstrapped():
    state = Kept(nodes.Finding(None)).again()
    state.tell(nodes.HOME)
    state.net.run(nodes.AFTERWARDS)
    assert state.told("Bootstrapped")


def test_the_command_line_feeds_one_input(capsys):
    assert main(["--target", "kernel", "--input", "06"]) == 0
    assert "kernel: nothing wrong with these 1 octets" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--target", "kernel", "--input", "xyz"], "--input: xyz is not hexadecimal"),
        (["--input", "00ff"], "--input is for one --target; use one of pana, eap"),
        (["--inputs", "-5"], "--inputs: -5 is too small; use 1 or more"),
        (["--inputs=many"], "--inputs: many is no whole number"),
        (["--target", "nonsense"], "invalid choice: 'nonsense'"),
    ],
)
def test_what_the_command_line_does_not_take_is_said(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def made(*variables):
    """Return what `make fuzz` would carry out."""
    command = ["make", "-n", "fuzz", *variables]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ALL)
def test_make_has_any_target_fed(name):
    assert f"tests.bad_bytes --target={name}" in " ".join(made(f"TARGET={name}").split())


def test_make_has_inputs_fed_or_schedules_carried_out():
    assert "tests.bad_bytes --inputs=5" in made("INPUTS=5")
    assert "--target=dns --input=00ff" in made("TARGET=dns", "INPUT=00ff")
    assert "--target=dns --target=eap" in made("TARGET=dns eap")
    assert "tests.schedules --count=1000" in made()
    assert "tests.schedules --seed=17" in made("SEED=17")


def test_the_page_has_all_targets():
    page = (PROJECT / "docs" / "reliability.md").read_text()
    _, _, table = page.partition("| target | is | inputs |")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(ALL)
