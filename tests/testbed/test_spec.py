"""Experiments: what is accepted, how variants are formed, and what is said about bad ones."""

import json
import shlex
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.experiment.spec import Spec, SpecError
from testbed.lab.doctor import FEATURES
from testbed.results.folder import read_plan, write_plan
from topologies.model import HostRole

PAPER = PROJECT / "experiments" / "paper.toml"
GOOD = """
name = "one"
approach = "pana-ikev1"
topology = "paper"
[links.core]
delay = 0.02
[settings]
launch = "script"
[variants.common]
[variants.other]
settings.launch = "resident"
settings.ike.mode = "aggressive"
links.access.delay = 0.05
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "one.toml"
    path.write_text(text)
    return path


def test_every_experiment_that_ships_is_good():
    shipped = sorted((PROJECT / "experiments").glob("*.toml"))
    assert PAPER in shipped
    for path in shipped:
        spec = Spec.load(path)
        assert spec.experiment.name == path.stem.replace("_", "-")


def test_a_variant_changes_only_what_it_names(tmp_path):
    spec = Spec.load(written(tmp_path, GOOD))

    common, other = spec.settings("common"), spec.settings("other")
    assert (common.launch, common.ike.mode) == ("script", "main")
    assert (other.launch, other.ike.mode) == ("resident", "aggressive")
    delays = {link.name: link.shape.delay for link in spec.topology("other").links}
    assert delays == {"access": 0.05, "core": 0.02, "home": 0.0}


def test_needs_follow_from_approach_and_links(tmp_path):
    path = written(tmp_path, GOOD)

    assert {"esp6", "mip6", "sch_htb", "sch_netem"} <= Spec.load(path).needs()
    assert "sch_netem" not in Spec.load(PAPER).needs()


def test_roles_are_those_of_daemons_and_need_them(tmp_path):
    text = GOOD + 'roles.ike.responder = "strongswan"\n'
    spec = Spec.load(written(tmp_path, text), ['roles.ike.initiator="strongswan"'])

    common, other = spec.settings("common").roles.ike, spec.settings("other").roles.ike
    assert (common.initiator, common.responder) == ("strongswan", "agent")
    assert (other.initiator, other.responder) == ("strongswan", "strongswan")
    assert "charon-systemd" in spec.needs()


def test_a_relay_is_a_daemon_too(tmp_path):
    spec = Spec.load(written(tmp_path, GOOD), ["roles.aaa.relay=freediameter"])
    assert spec.settings("other").roles.aaa.relay == "freediameter"
    assert "freeDiameterd" in spec.needs()
    assert "freeDiameterd" in FEATURES


def test_a_role_is_no_setting(tmp_path):
    path = written(tmp_path, GOOD)
    with pytest.raises(SpecError, match=r"roles\.ike\.initiator = 'strongswan'"):
        Spec.load(path, ["settings.roles.ike.initiator=strongswan"])
    with pytest.raises(SpecError, match=r"roles\.ike\.responder: 'charon' is not known; use agent"):
        Spec.load(path, ["roles.ike.responder=charon"])


def test_assignments_change_the_experiment(tmp_path):
    path = written(tmp_path, GOOD)
    changes = ["settings.launch=resident", "links.core.delay=0.1", "runs=3", "title=plain words"]

    spec = Spec.load(path, changes)

    assert spec.settings("common").launch == "resident"
    assert spec.topology("common").link("core").shape.delay == 0.1
    assert (spec.experiment.runs, spec.experiment.title) == (3, "plain words")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "one"', 'name = "one"\nrunz = 3', r"unknown key runz, perhaps runs"),
        (
            'name = "one"',
            'name = "one"\nruns = "many"',
            r"runs: 'many' is not allowed; use a whole number from 1 to 100000",
        ),
        (
            'name = "one"',
            'name = "one"\nruns = 0',
            r"runs: 0 is not allowed; use a whole number from 1",
        ),
        ('name = "one"', 'name = "../one"', r"name: '../one' is not .* small letters"),
        (
            'approach = "pana-ikev1"',
            'approach = "pana-ikev3"',
            r'no approach called "pana-ikev3", perhaps pana-ikev',
        ),
        ('approach = "pana-ikev1"', "", r"missing key approach"),
        ('topology = "paper"', 'topology = "moon"', r'no topology called "moon"'),
        ('topology = "paper"', 'topology = "model"', r'no topology called "model"'),
        ('approach = "pana-ikev1"', 'approach = "dhcpv6-ikev2"', r"settings: unknown key launch"),
        ('launch = "script"', "local_offered = true", r"common: no link visited in topology paper"),
        ("[links.core]", "[links.cord]", r"links: no link cord in topology paper"),
        ("delay = 0.02", "delay = -1.0", r"links\.core\.delay: -1.0 is not .* 0\.010 for 10 ms"),
        ("delay = 0.02", "delay = nan", r"links\.core\.delay: nan"),
        ("delay = 0.02", "delay = 10", r"links\.core\.delay: 10 is not .* 0\.010 for 10 ms"),
        ("delay = 0.02", "rate = 0.001", r"links\.core: rate: 0\.001 .*; use 0, or 0\.1 or more"),
        ("delay = 0.02", "rate = 1001", r"links\.core\.rate: 1001 .* from 0 to 1000"),
        ("delay = 0.02", "loss = 99", r"links\.core\.loss: 99 .* from 0 to 50"),
        ("delay = 0.02", "corruption = 51", r"links\.core\.corruption: 51 .* from 0 to 50"),
        ("delay = 0.02", "duplication = 101", r"links\.core\.duplication: 101 .* from 0 to 100"),
        ("delay = 0.02", "burst_ends = 0", r"links\.core\.burst_ends: 0 .* from 0\.1 to 100"),
        (
            "delay = 0.02",
            "burst_begins = 50\nburst_ends = 1",
            r"links\.core: with bursts 98 % are lost .* at most 50 % .* \(burst_loss\)",
        ),
        (
            "delay = 0.02",
            "reordering = 5",
            r"links\.core: reordering without delay: .* a delay too",
        ),
        (
            'launch = "script"',
            'launch = "rocket"',
            r"settings\.launch: 'rocket' is not known; use .*script",
        ),
        ('mode = "aggressive"', 'mood = "good"', r"settings\.ike: unknown key mood, perhaps mode"),
        ("[variants.common]", "[variants.common", r"one\.toml: "),
    ],
)
def test_a_bad_experiment_is_refused_with_what_and_where(tmp_path, old, new, complaint):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(SpecError, match=complaint) as raised:
        Spec.load(path)
    assert "one.toml" in str(raised.value)


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [("runs", "KEY=VALUE"), ("=3", "KEY=VALUE"), ("runs.x=3", "runs is a value")],
)
def test_a_bad_assignment_is_refused(tmp_path, assignment, complaint):
    path = written(tmp_path, "runs = 2" + GOOD)

    with pytest.raises(SpecError, match=complaint):
        Spec.load(path, [assignment])


def test_an_assignment_that_no_variant_would_heed_is_refused(tmp_path):
    both = GOOD.replace("[variants.common]", '[variants.common]\nsettings.launch = "script"')

    with pytest.raises(SpecError, match=r"every variant sets it itself; set variants\.NAME"):
        Spec.load(written(tmp_path, both), ["settings.launch=script"])


def test_so_is_an_assignment_of_what_is_swept(tmp_path):
    swept = GOOD + '[sweep]\n"links.home.delay" = [0.0, 0.1]\n'
    path = written(tmp_path, swept)

    with pytest.raises(SpecError, match=r"""use --set 'sweep\."links\.home\.delay"=\[0\.2\]'"""):
        Spec.load(path, ["links.home.delay=0.2"])
    spec = Spec.load(path, ['sweep."links.home.delay"=[0.2]'])
    assert spec.points == [{"links.home.delay": 0.2}]


@pytest.mark.parametrize(
    ("assignment", "right"),
    [
        ("sweep.operator.mobile_nodes=[1, 20]", "'sweep.\"operator.mobile_nodes\"=[1, 20]'"),
        ("sweep.operator.mobile_nodes=5", "'sweep.\"operator.mobile_nodes\"=[5]'"),
        ("sweep.operator.mobile_nodes=", "'sweep.\"operator.mobile_nodes\"=[VALUE, VALUE]'"),
    ],
)
def test_what_is_swept_without_quotes_is_refused_with_what_a_shell_takes(
    tmp_path, assignment, right
):
    path = written(tmp_path, MANY)
    with pytest.raises(SpecError, match=r"has dots in its name and is quoted; use --set") as raised:
        Spec.load(path, [assignment])
    said = str(raised.value)
    assert said.endswith(f"use --set {right}")
    if "VALUE" not in right:
        assert Spec.load(path, shlex.split(right)).points


def test_so_it_is_in_a_file(tmp_path):
    path = written(tmp_path, MANY + "[sweep]\noperator.mobile_nodes = [1, 20]\n")
    with pytest.raises(SpecError, match=r'use "operator\.mobile_nodes" = \[VALUE, VALUE\]'):
        Spec.load(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(SpecError, match=r"none\.toml: cannot be read: No such file"):
        Spec.load(tmp_path / "none.toml")


def test_the_plan_is_balanced_random_and_repeatable(tmp_path):
    spec = Spec.load(PAPER)
    each = len(spec.variants)

    plan = spec.plan(runs=4, seed=3)

    assert [p.run for p in plan] == list(range(1, 4 * each + 1))
    blocks = [[p.variant for p in plan[i : i + each]] for i in range(0, len(plan), each)]
    assert all(set(block) == set(spec.variants) for block in blocks)
    assert len({tuple(block) for block in blocks}) > 1
    assert spec.plan(runs=4, seed=3) == plan
    assert spec.plan(runs=4, seed=4) != plan
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_a_variant_with_fewer_runs_is_spread_over_the_plan(tmp_path):
    spec = Spec.load(written(tmp_path, GOOD + "runs = 3\n"))

    plan = spec.plan()

    few = [p.run for p in plan if p.variant == "other"]
    assert (len(plan), len(few)) == (13, 3)
    assert [number * 3 // (len(plan) + 1) for number in few] == [0, 1, 2]
    assert len(spec.plan(runs=2)) == 4
    with pytest.raises(SpecError, match=r"variant other: runs: 0 is not allowed"):
        Spec.load(written(tmp_path, GOOD + "runs = 0\n"))


def test_no_more_runs_are_planned_than_anybody_can_wait_for(tmp_path):
    spec = Spec.load(written(tmp_path, GOOD))

    assert len(spec.plan(50_000)) == 100_000
    with pytest.raises(SpecError, match="100002 runs of 2 variants; at most 100000"):
        spec.plan(50_001)
    with pytest.raises(SpecError, match="120000 runs of 2 variants"):
        Spec.load(written(tmp_path, GOOD), ["runs=60000"])


@pytest.mark.parametrize("name", ["", "a" * 65, "-a", "a/b", "..", "a\n", "A", "\u00e4", "a b"])
def test_a_name_is_one_that_a_folder_can_have(tmp_path, name):
    text = json.dumps(name)
    for document, changes in ((GOOD, [f"name={text}"]), (f"{GOOD}[variants.{text}]\n", [])):
        with pytest.raises(SpecError, match="is not allowed; use a name of up to 64 small letters"):
            Spec.load(written(tmp_path, document), changes)


def test_what_is_set_for_a_variant_makes_no_new_one(tmp_path):
    with pytest.raises(SpecError, match="there is no variant othr, perhaps other; use one of"):
        Spec.load(written(tmp_path, GOOD), ["variants.othr.timeout=5"])


def test_an_approach_has_one_name(tmp_path):
    with pytest.raises(SpecError, match='no approach called "pana_ikev1", perhaps pana-ikev1'):
        Spec.load(written(tmp_path, GOOD), ["approach=pana_ikev1"])


def test_what_was_changed_is_told_with_what_is_wrong(tmp_path):
    path = written(tmp_path, GOOD)
    with pytest.raises(SpecError, match=f"{path} with --set timeout=-1: "):
        Spec.load(path, ["timeout=-1"])


@pytest.mark.parametrize("name", ["approaches", "pana_fast", "rtt"])
def test_how_ike_negotiates_can_be_set_for_all_approaches(name):
    spec = Spec.load(PROJECT / "experiments" / f"{name}.toml", ["settings.ike.group=ecp256"])

    ike = [spec.settings(variant).ike for variant in spec.variants]
    assert "psk" in {getattr(one, "authentication", None) for one in ike}
    assert {getattr(one, "group", "ecp256") for one in ike} == {"ecp256"}


@pytest.mark.parametrize(
    ("approach", "setting", "complaint"),
    [
        (
            "dhcpv6-ikev2",
            "protection=sealed",
            "what DHCPv6, DNS and home agents tell is not sealed",
        ),
        ("dns-ikev2", "ike.authentication=psk", "an open network brings no key for IKE"),
        ("static", "ike.authentication=eap", "a preconfigured key is not for IKEv2 with EAP"),
        ("pana-fast", "psk_source=msk", "an early start needs a sealed assignment, and a key"),
    ],
)
def test_what_the_programs_would_refuse_is_refused(tmp_path, approach, setting, complaint):
    document = GOOD.partition("[links")[0].replace("pana-ikev1", approach)
    path = written(tmp_path, document.replace("paper", "dhcpv6") + "[variants.v]")

    assert Spec.load(path)
    with pytest.raises(SpecError, match=f"variant v: .*{complaint}"):
        Spec.load(path, [f"settings.{setting}"])


@pytest.mark.parametrize(
    "approach", ["pana-ikev1", "pana-ikev2", "pana-fast", "dhcpv6-ikev2", "dns-ikev2", "static"]
)
def test_a_home_agent_that_the_topology_does_not_have_is_refused(tmp_path, approach):
    document = GOOD.partition("[links")[0].replace("pana-ikev1", approach)
    path = written(tmp_path, document.replace("paper", "dhcpv6") + "[variants.v]")

    assert Spec.load(path, ["settings.home_agents={ha1={weight=2}}"])
    with pytest.raises(
        SpecError,
        match=r"settings\.home_agents: there is no home agent 'ha9', perhaps ha1; use one of ha1",
    ):
        Spec.load(path, ["settings.home_agents={ha9={weight=2}}"])


def test_who_attacks_and_who_is_attacked_are_two():
    attacks = PROJECT / "experiments" / "attacks.toml"
    for identity in ("another@home.test", "Another@home.test"):
        with pytest.raises(SpecError, match=r"identity: another@home\.test is who attacks"):
            Spec.load(attacks, [f"settings.identity={identity}"])


def test_an_identity_has_room_for_the_number_of_a_mobile_node(tmp_path):
    name = 240 * "a" + "@home.test"
    assert Spec.load(written(tmp_path, GOOD), [f"settings.identity={name}"])
    with pytest.raises(SpecError, match=r"eap\.identity: .* up to 253 letters"):
        Spec.load(written(tmp_path, MANY), [f"settings.identity={name}"])


@pytest.mark.parametrize("depth", [300, 900, 3000])
def test_no_nesting_is_too_deep_to_be_refused(tmp_path, depth):
    for value in ("[" * depth + "]" * depth, "{a=" * depth + "1" + "}" * depth):
        with pytest.raises(SpecError):
            Spec.load(written(tmp_path, f"{GOOD}settings.habits = {value}\n"))
        with pytest.raises(SpecError):
            Spec.load(written(tmp_path, GOOD), [f"settings.habits={value}"])
    with pytest.raises(SpecError):
        Spec.load(written(tmp_path, f"{GOOD}settings.{'a.' * depth}a = 1\n"))


def test_an_expectation_is_checked(tmp_path):
    good = GOOD + 'expect.reason = "no .* agent"\n'
    bad = GOOD + 'expect.reason = "("\n'

    expected = Spec.load(written(tmp_path, good)).variants["other"].expect

    assert expected
    assert expected.reason == "no .* agent"
    with pytest.raises(SpecError, match=r"variant other: expect: reason: no regular expression"):
        Spec.load(written(tmp_path, bad))


MANY = """
name = "many"
approach = "pana-ikev2"
topology = "operator"
[operator]
mobile_nodes = 3
[variants.at-once]
[variants.one-by-one]
arrivals.rate = 5.0
operator.access_routers = 2
"""


def test_how_many_there_are_is_the_experiments_to_say(tmp_path):
    spec = Spec.load(written(tmp_path, MANY))
    one, other = spec.topology("at-once"), spec.topology("one-by-one")
    assert len(one.hosts_with(HostRole.MOBILE_NODE)) == 3
    assert len(other.hosts_with(HostRole.MOBILE_NODE)) == 3
    assert other.hosts_with(HostRole.ACCESS_ROUTER) == ("AR1", "AR2")
    assert one.hosts_with(HostRole.ACCESS_ROUTER) == ("AR1",)


def test_their_number_can_be_swept_and_each_is_prepared_apart(tmp_path):
    text = MANY + '[sweep]\n"operator.mobile_nodes" = [1, 20]\n'
    spec = Spec.load(written(tmp_path, text))
    sizes = {
        len(spec.at(run.parameters).topology(run.variant).hosts_with(HostRole.MOBILE_NODE))
        for run in spec.plan(1)
    }
    assert sizes == {1, 20}
    assert len({run.shared for run in spec.plan(1)}) == 4


def test_links_of_a_kind_are_shaped_together(tmp_path):
    text = MANY + "[links]\naccess.delay = 0.01\naccess2.delay = 0.02\n"
    with pytest.raises(
        SpecError,
        match="no link access2 in topology operator; use one of access, access1, core, home",
    ):
        Spec.load(written(tmp_path, text))
    text = text.replace("[variants.at-once]", "[variants.at-once]\noperator.access_routers = 2")
    topology = Spec.load(written(tmp_path, text)).topology("one-by-one")
    delays = {link.name: link.shape.delay for link in topology.links}
    assert delays == {"access1": 0.01, "access2": 0.02, "core": 0.0, "home1": 0.0}


def test_they_come_at_once_or_at_random_as_the_seed_says(tmp_path):
    variants = Spec.load(written(tmp_path, MANY)).variants
    assert variants["at-once"].starts(3, seed=1) == [0.0, 0.0, 0.0]
    times = variants["one-by-one"].starts(2000, seed=1)
    assert times == sorted(times) == variants["one-by-one"].starts(2000, seed=1)
    assert times != variants["one-by-one"].starts(2000, seed=2)
    assert times[-1] == pytest.approx(2000 / 5.0, rel=0.1)


def test_who_come_one_by_one_come_within_a_day(tmp_path):
    path = written(tmp_path, MANY)
    assert Spec.load(path, ["variants.one-by-one.arrivals.rate=0.0000232"])
    for rate in ("0.000023", "1e-9"):
        with pytest.raises(
            SpecError,
            match=r"variant one-by-one: arrivals\.rate: 3 mobile nodes would come within .*"
            r"at most 86400 s, a day, are allowed: set a higher rate, above 2\.3e-05",
        ):
            Spec.load(path, [f"variants.one-by-one.arrivals.rate={rate}"])


def test_the_time_in_which_they_come_is_a_part_of_what_a_run_takes(tmp_path):
    spec = Spec.load(written(tmp_path, MANY), ["variants.one-by-one.arrivals.rate=0.01"])
    plan = spec.plan(1)
    times = {run.variant: time for run, time in zip(plan, spec.durations(plan), strict=True)}
    assert times["at-once"] < 10
    assert 200 < times["one-by-one"] < 210


@pytest.mark.parametrize(
    "setting",
    ["captures=1", "public_keys=model", "home_aaa_servers=2", "receive_buffer=0"],
)
def test_what_the_simulator_has_for_many_mobile_nodes_is_refused_for_one(tmp_path, setting):
    with pytest.raises(SpecError, match="simulation: only the topology operator has many mobile"):
        Spec.load(written(tmp_path, GOOD), [f"simulation.{setting}"])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("operator.mobile_nodes=0", "operator.mobile_nodes"),
        ("operator.mobile_nodes=1000001", "operator.mobile_nodes"),
        ("operator.cars=1", "cars"),
        ("arrivals=later", "arrivals"),
        ("variants.one-by-one.arrivals.rate=0", "arrivals"),
        ("topology=paper", "only the topology operator has many mobile nodes"),
        ("approach=static", "not beside the home AAA server"),
    ],
)
def test_what_there_cannot_be_of_many_is_said(tmp_path, change, what):
    with pytest.raises(SpecError, match=what):
        Spec.load(written(tmp_path, MANY), [change])
