"""mip6lab shell with programs in the hosts: what is asked for, before there is any lab."""

import json

import pytest
from click.testing import CliRunner

import topologies
from testbed.cli import labs, main
from testbed.experiment.spec import Spec, SpecError
from testbed.run import commands, live
from testbed.run.handover import Following


def invoke(*words):
    return CliRunner().invoke(main, ["shell", *words])


@pytest.fixture
def begun(monkeypatch):
    """What would run in a lab: the command, and what it needs."""
    found = []

    def interact(lab, command, needs, *, reads):
        found.append((lab, command, set(needs), reads))
        raise SystemExit(0)

    monkeypatch.setattr(labs, "_interact", interact)
    return found


def test_a_topology_alone_is_mininets_prompt_as_before(begun):
    assert invoke("mobility", "--lab", "native").exit_code == 0

    [(lab, command, needs, reads)] = begun
    assert (lab, command[-1], reads) == ("native", "mobility", True)
    assert needs == {"veth", "sch_htb", "bridge"}


def test_an_approach_in_a_topology_is_an_experiment_of_one_variant(begun):
    done = invoke("paper", "--approach", "pana-ikev2", "--set", "links.access.delay=0.02")

    assert done.exit_code == 0, done.output
    [(_, command, needs, _)] = begun
    asked = json.loads(command[-1])
    spec = Spec(asked["document"], "test")
    assert spec.variants[asked["variant"]].approach == "pana-ikev2"
    assert spec.topology(asked["variant"]).link("access").shape.delay == 0.02
    assert needs >= {"bridge", "sch_netem", "esp6"}


@pytest.mark.parametrize(
    ("words", "variant"),
    [
        (("handover", "--variant", "pana-fast"), "pana-fast"),
        (("paper", "--variant", "resident"), "resident"),
        (("handover",), "static"),
        (("rtt", "--variant", "static"), "static"),
    ],
)
def test_an_experiment_gives_one_of_its_variants(begun, words, variant):
    done = invoke(*words)

    assert done.exit_code == 0, done.output
    asked = json.loads(begun[0][1][-1])
    assert asked["variant"] == variant
    assert list(Spec(asked["document"], "test").variants) == [variant]
    assert ("--variant takes another" in done.output) == (len(words) == 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("papr",), "there is no topology or experiment papr, perhaps paper"),
        (("paper", "--approach", "pana"), 'there is no approach called "pana"'),
        (("handover", "--approach", "static"), 'there is no topology called "handover"'),
        (("mobility", "--set", "links.access.delay=1"), "mobility is a topology"),
        (("mobility", "--variant", "x"), "--variant is for an experiment"),
        (("paper", "--variant", "x"), "there is no variant x"),
        (("paper", "--variant", "x", "--approach", "static"), "leave out one of them"),
        (("paper", "--approach", "static", "--set", "links.x.delay=0.1"), "links: no link x"),
        (("paper", "--approach", "static", "--set", "nonsense"), "nonsense"),
        (("operator", "--approach", "pana-ikev2"), "many mobile nodes"),
        (("paper", "--lab", "sim"), "'sim' is not one of"),
    ],
)
def test_what_cannot_be_had_is_told(begun, words, said):
    done = invoke(*words)

    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
    assert not begun


def test_an_approach_without_its_hosts_is_refused_in_words():
    with pytest.raises(
        SpecError, match=r"approach dhcpv6-ikev2 in topology paper: .*DHCPv6 server"
    ):
        Spec.of_approach("dhcpv6-ikev2", "paper")


@pytest.mark.parametrize("name", [name for name in topologies.names() if name != "operator"])
def test_messages_can_be_held_on_every_mobile_nodes_link(name):
    topology = topologies.load(name)

    bridged = live.with_bridge(topology)

    link, _ = bridged.at("A")[0]
    assert link.is_bridged
    assert [one.shape for one in bridged.links] == [one.shape for one in topology.links]
    assert bridged.links[1:] == topology.links[1:]


@pytest.mark.parametrize(
    ("text", "host"),
    [("B", "B"), ("access router", "B"), ("home-network", "C"), ("Mobile_Node", "A")],
)
def test_hosts_are_known_by_name_and_role(text, host):
    assert live.host_of(topologies.load("paper"), text) == host


@pytest.mark.parametrize(
    ("topology", "text", "said"),
    [
        ("paper", "D", "there is no host or role 'D'"),
        ("paper", "acess router", "perhaps access router"),
        ("mobility", "access router", "several hosts are access router: say B or B2"),
    ],
)
def test_a_host_that_is_not_there_is_told(topology, text, said):
    with pytest.raises(live.CommandError, match=said):
        live.host_of(topologies.load(topology), text)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("A", ("A", "", "")),
        ("A one.pcapng", ("A", "one.pcapng", "")),
        ("A 'my file'", ("A", "my file", "")),
        ("A stop", ("A", "stop", "")),
        ("A | wireshark -k -i -", ("A", "", "wireshark -k -i -")),
        ("A|tshark -i - | head", ("A", "", "tshark -i - | head")),
    ],
)
def test_what_capture_is_given(line, found):
    assert commands.capture_of(line) == found


@pytest.mark.parametrize("line", ["", "A b c", "| wireshark", "A |", "A 'b"])
def test_what_capture_cannot_be_given(line):
    with pytest.raises(live.CommandError, match="capture HOST"):
        commands.capture_of(line)


def test_percentages_and_numbers_of_steps():
    assert [commands.percentage(text) for text in ("0", "10", "2.5%")] == [0, 10, 2.5]
    assert commands.steps("12") == 12
    for text in ("-1", "101", "nan", "x", ""):
        with pytest.raises(live.CommandError, match="no percentage"):
            commands.percentage(text)
    for text in ("0", "-1", "1.5", "²", "100000"):
        with pytest.raises(live.CommandError, match="no number of messages"):
            commands.steps(text)
    with pytest.raises(live.CommandError, match="usage: loss PERCENT"):
        commands.words_of("", "loss PERCENT", 1, 1)


def test_an_event_is_one_line_however_much_it_tells():
    event = {"t": 1_500_000_000, "host": "A", "agent": "pana", "event": "X", "all": "y" * 500}

    line = live.written(event, since=1_000_000_000)

    assert line.split()[:5] == ["0.5000", "s", "A", "pana", "X"]
    assert len(line) < 120


def test_a_handover_may_be_looked_at_while_it_goes_on():
    following = Following("A", "access2", 1)
    told = (
        ("mip6", "LinkUp"), ("mip6", "Moved"), ("role", "CareOfAddress"),
        ("pana", "Authenticated"), ("mip6", "BindingAccepted"),
    )  # fmt: skip
    for number, (agent, event) in enumerate(told, 1):
        assert following.parts == {}
        following.note({"host": "A", "agent": agent, "event": event, "t": number * 1_000_000_000})

    assert following.parts == dict.fromkeys(("detection", "address", "access", "binding"), 1.0)


def test_every_command_is_described():
    own = {name for name in vars(commands.LiveCLI) if name.startswith("do_")}

    assert own >= {f"do_{name}" for name in ("bootstrap", "step", "pause", "resume", "capture")}
    assert all(getattr(commands.LiveCLI, name).__doc__ for name in own)
