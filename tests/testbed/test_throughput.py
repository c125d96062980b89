"""Throughput: what steps may ask for, what iperf3 says of it, how it is judged and shown."""

import json
import subprocess
import time
from contextlib import suppress
from ipaddress import IPv6Address

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.experiment.spec import Spec, SpecError
from testbed.experiment.steps import Expectation
from testbed.experiment.throughput import Transfer
from testbed.report import tables
from testbed.report import throughput as shown
from testbed.results import folder as results
from testbed.results.runs import CARE_OF, HOME, Run, Throughput, shares
from testbed.run import throughput
from testbed.run.paths import Paths, Payload
from testbed.run.throughput import TransferError, measure, read
from tests.testbed import sample
from tests.testbed.simulated import RUN
from tests.testbed.test_steps import spec

PLAIN = {"host": "CN", "measures": CARE_OF, "throughput": {"seconds": 5}}
OWN = PLAIN | {"measures": HOME}


def test_a_step_transfers_in_both_directions_unless_it_says_one():
    found = spec({"steps": [PLAIN, OWN], "expect": {"throughput": 0.9}}).variants["v"]
    assert [step.throughput.lasts for step in found.steps] == [10, 10]
    assert found.lasting == 20
    one = Transfer(seconds=3, towards="mobile node", protocol="udp", rate=2.4)
    assert (one.ways, one.lasts) == (("mobile node",), 3)


def test_iperf3_is_needed_where_it_measures_and_nowhere_else():
    assert "iperf3" in spec({"steps": [PLAIN]}).needs()
    assert "iperf3" not in spec({"steps": [{"host": "CN", "measures": HOME}]}).needs()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"throughput": {}}, r"steps\[0\]\.throughput: missing key seconds"),
        ({"throughput": {"seconds": 0}}, r"throughput\.seconds: .*1"),
        ({"throughput": {"seconds": 2.5}}, r"throughput\.seconds: "),
        ({"throughput": 5}, r"steps\[0\]\.throughput: "),
        ({"throughput": {"seconds": 5, "protocol": "sctp"}}, "use tcp or udp"),
        ({"throughput": {"seconds": 5, "towards": "A"}}, "towards: "),
        ({"throughput": {"seconds": 5, "rate": -1}}, r"rate: "),
        ({"throughput": {"seconds": 5, "protocol": "udp"}}, r"UDP sends as fast as it is told"),
        ({"throughput": {"seconds": 5, "beside": True}}, "set `rate` .up to 10 Mbit/s., and"),
        (
            {"throughput": {"seconds": 5, "beside": True, "rate": 50, "towards": "mobile node"}},
            "is kept by captures",
        ),
        ({"throughput": {"seconds": 8}}, "its transfers take 20 s .* timeout is 15 s"),
        ({"measures": None, "packets": 1}, "say to which: measures = 'home address'"),
        ({"host": "A"}, r"steps\[0\]\.measures: there is no correspondent node 'A'"),
        ({"at": "ike"}, "a step `at` some point of the bootstrap has no"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused(changes, complaint):
    with pytest.raises(SpecError, match=complaint):
        spec({"steps": [PLAIN | changes]})


def test_one_transfer_at_a_time_goes_on_beside_other_steps():
    transfer = {"seconds": 5, "rate": 1.0, "towards": "mobile node", "beside": True}
    beside = PLAIN | {"throughput": transfer}
    assert spec({"steps": [PLAIN, beside, {"host": "CN", "measures": HOME}]})
    for steps, cycles in (([beside, OWN], 1), ([beside], 2)):
        with pytest.raises(SpecError, match=r"that of steps\[0\] goes on: one at a time"):
            spec({"steps": steps, "cycles": cycles})


@pytest.mark.parametrize("steps", [[PLAIN], [OWN, OWN], [PLAIN, {"host": "CN", "measures": HOME}]])
def test_what_is_not_measured_cannot_be_compared(steps):
    with pytest.raises(SpecError, match=r"expect\.throughput: there is nothing to compare"):
        spec({"steps": steps, "expect": {"throughput": 0.9}})


def test_a_variant_takes_the_common_steps_unless_it_has_its_own():
    document = {
        "name": "one",
        "approach": "static",
        "topology": "paper",
        "steps": [PLAIN, OWN],
        "expect": {"throughput": 0.9},
        "variants": {"common": {}, "own": {"steps": [OWN, PLAIN], "expect": {"lost": 0}}},
    }
    found = Spec(document, "one.toml").variants
    assert [step.measures for step in found["common"].steps] == [CARE_OF, HOME]
    assert [step.measures for step in found["own"].steps] == [HOME, CARE_OF]
    assert (found["own"].expect.throughput, found["own"].expect.lost) == (0.9, 0)


def test_the_simulator_says_that_it_has_none():
    done = CliRunner().invoke(main, [*RUN, "throughput"])
    assert done.exit_code == 2
    assert done.output.count("throughput is measured by iperf3, a real program") == 1


def test_the_experiment_that_ships_can_be_carried_out():
    found = Spec.load(PROJECT / "experiments" / "throughput.toml")
    assert "iperf3" in found.needs()
    assert all(one.expect.throughput for one in found.variants.values())


TCP = {
    "start": {"tcp_mss_default": 1388, "test_start": {"blksize": 131072, "reverse": 0}},
    "intervals": [],
    "end": {
        "sum_sent": {"seconds": 4.01, "bits_per_second": 2.5e6, "retransmits": 3, "sender": True},
        "sum_received": {"seconds": 4.05, "bits_per_second": 1.8e6, "sender": True},
        "sender_tcp_congestion": "cubic",
    },
}
UDP = {
    "start": {"test_start": {"blksize": 1428}},
    "end": {
        "sum_sent": {"seconds": 4, "bits_per_second": 9e6, "packets": 3255, "lost_packets": 0},
        "sum_received": {
            "seconds": 4.02,
            "bits_per_second": 8e6,
            "packets": 3200,
            "lost_packets": 400,
        },
    },
}


def test_what_iperf3_says_of_tcp_and_udp_is_read():
    common = {"sent": 2.5e6, "received": 1.8e6, "seconds": 4.05}
    tcp = {"repeated": 3, "lost": None, "segment": 1388}
    assert read(json.dumps(TCP).encode()) == common | tcp
    found = read(json.dumps(UDP).encode())
    assert found.items() >= {"repeated": None, "lost": 0.125, "segment": 1428}.items()


def changed(report, **fields):
    copy = json.loads(json.dumps(report))
    copy["end"]["sum_received"] |= fields
    return json.dumps(copy)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read"),
        ("iperf3: error - unable to connect", "cannot be read"),
        ("[]", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("\udcff", "cannot be read"),
        ('{"end": 5}', "cannot be read"),
        ('{"end": {"sum_sent": {}}}', "cannot be read"),
        (changed(TCP, bits_per_second=-1), "cannot be read"),
        (changed(TCP, bits_per_second="many"), "cannot be read"),
        (changed(TCP, bits_per_second=None), "cannot be read"),
        (changed(TCP, seconds=float("nan")), "cannot be read"),
        (changed(UDP, lost_packets=10**400), "cannot be read"),
        (changed(TCP, seconds=0), "reports no end"),
        ("{}", "reports no end"),
        ('{"start": {}, "end": {}, "error": "server is busy"}', "iperf3: server is busy"),
    ],
)
def test_what_is_no_report_is_refused_in_words(text, complaint):
    with pytest.raises(TransferError, match=complaint):
        read(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("lost", [-3, 0])
def test_datagrams_that_came_twice_are_no_loss(lost):
    assert read(changed(UDP, lost_packets=lost).encode())["lost"] == 0
    assert read(changed(UDP, packets=0).encode())["lost"] == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text):
    with suppress(TransferError):
        assert read(text)["seconds"] > 0


class Machine:
    """Stands for a network: its hosts are this machine, where iperf3 is a shell script."""

    def __init__(self):
        self.processes = []

    def start(self, _host, command, **streams):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **streams)
        self.processes.append(process)
        return process


def carried_out(tmp_path, monkeypatch, script, seconds=5.0):
    """Return what comes of a transfer, and of the processes, if iperf3 is this script."""
    program = tmp_path / "iperf3"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    until = time.monotonic() + seconds
    payload = Payload("CN", "A", IPv6Address("::1"), Transfer(1), "correspondent node", until)
    machine = Machine()
    try:
        return measure(machine, payload, tmp_path)
    finally:
        assert all(process.returncode is not None for process in machine.processes)


LISTENS = 'case "$1" in --server) echo "Server listening on 5201"; exec sleep 60;; esac\n'


def test_a_transfer_is_measured_and_nothing_is_left_running(tmp_path, monkeypatch):
    (tmp_path / "said").write_text(json.dumps(TCP))
    script = LISTENS + f'echo "$@" >"{tmp_path}/asked"; cat "{tmp_path}/said"'
    found = carried_out(tmp_path, monkeypatch, script)
    assert found["received"] == 1.8e6
    assert found["cpu"] >= 0
    assert (
        tmp_path / "asked"
    ).read_text() == "--client ::1 --port 5201 --json --time 1 --reverse\n"
    assert json.loads((tmp_path / "report.json").read_text()) == TCP


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo 'iperf3: error - cannot assign address' >&2; exit 1", "cannot assign address"),
        ("exit 1", "it left no message"),
        ("exec sleep 60", "does not listen in time"),
        (f"{LISTENS}exec sleep 60", "not come to its end in time"),
        (f'{LISTENS}echo \'{{"error": "the server has terminated"}}\'', "server has terminated"),
        (f"{LISTENS}echo what", "cannot be read"),
    ],
)
def test_a_transfer_that_comes_to_nothing_says_why(tmp_path, monkeypatch, script, complaint):
    with pytest.raises(TransferError, match=complaint):
        carried_out(tmp_path, monkeypatch, script, seconds=0.5)


def test_without_iperf3_it_is_said_how_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput.shutil, "which", lambda _: None)
    payload = Payload("CN", "A", IPv6Address("::1"), Transfer(1), "mobile node", 0.0)
    with pytest.raises(TransferError, match="iperf3 is not installed: package iperf3"):
        measure(Machine(), payload, tmp_path)


def measured(path, received, towards="mobile node", protocol="tcp", **fields):
    fields = {"sent": received, "seconds": 5.0, "cpu": 0.1, "segment": 1428} | fields
    return Throughput(path=path, towards=towards, protocol=protocol, received=received, **fields)


BOTH = [
    measured(CARE_OF, 2e6, repeated=0),
    measured(HOME, 1.7e6, repeated=0),
    measured(CARE_OF, 1e6, "correspondent node", repeated=2),
    measured(HOME, 1e6, "correspondent node", repeated=0),
    measured(HOME, 3e6, protocol="udp", lost=0.1),
]


def test_shares_are_of_the_plain_path_in_the_same_direction():
    assert shares(BOTH) == {("tcp", "mobile node"): 0.85, ("tcp", "correspondent node"): 1.0}
    assert shares([measured(CARE_OF, 0.0), measured(HOME, 1.0)]) == {}


def test_a_path_with_too_little_is_complained_of():
    paths = Paths()
    paths.throughput += BOTH
    assert list(paths.complaints(Expectation(throughput=0.8))) == []
    [complaint] = paths.complaints(Expectation(throughput=0.9))
    assert complaint.startswith("the throughput of TCP towards the mobile node is 0.850 times")
    assert list(paths.complaints(Expectation())) == []


@pytest.fixture
def kept(tmp_path):
    """Results of three runs that differ."""
    text = f"{sample.BASE}[variants.tunnel]\n[variants.nothing]\n"
    folder = results.create(tmp_path, "paper", text, "one")
    for number in range(1, 4):
        found = [msgspec.structs.replace(one, received=one.received + number) for one in BOTH]
        results.append(
            folder,
            Run(run=number, variant="tunnel", seed=1, status="failed", throughput=found),
        )
    return results.load(folder)


def test_the_table_has_what_came_through_and_what_part_of_the_plain_path_that_is(kept):
    head, rows = shown.rows(kept)
    assert [row[:3] for row in rows] == [
        ("tunnel", "care-of", "TCP"),
        ("tunnel", "home", "TCP"),
        ("tunnel", "home", "UDP"),
    ]
    assert rows[0][3:] == (
        "2.00 Mbit/s\n(2.00 to 2.00)",
        "1.00 Mbit/s\n(1.00 to 1.00)",
        "0\n2",
        "1428",
        "10 %",
    )
    assert rows[1][3].splitlines()[2] == "0.850"
    assert rows[2][4:6] == ("-", "10.0 %\n-")
    assert len(head) == len(rows[0])
    assert tables.came_through(kept).row_count == 3


def test_the_figure_has_every_run_of_every_path(kept):
    figure, data = shown.figure(kept)
    assert len(data) == 1 + 3 * len(BOTH)
    assert {row[4] for row in data[1:]} == {1, 2, 3}
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [
        "TCP towards the mobile node",
        "TCP towards the correspondent node",
        "UDP towards the mobile node",
    ]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "1.70 Mbit/s  0.850" in said
