"""mip6lab shell with an approach's programs: scripts of its commands, on a real kernel."""

import re
import subprocess
import sys

import pytest

from testbed.base.places import PROJECT
from testbed.trace.phases import from_capture, macs
from tests.lab.experiment import NEEDS
from tests.lab.needs import needs
from topologies import paper

pytestmark = [NEEDS, needs("namespaces", "veth", "bridge", "sch_netem")]

PHASES = re.compile(r"^(?:mininet> )*(?:= )?(.+): ([\d.]+) ms$", re.M)
PASSED = re.compile(r"^(?:mininet> )*(\w+) -> (\w+)  (.+)$", re.M)
NO_DAD = ("--set", "settings.duplicate_address_detection=false")


def carry_out(topology, approach, *lines, options=NO_DAD):
    """Carry out a script; return its exit status, and what is said from the prompt on."""
    command = [sys.executable, "-m", "testbed", "shell", topology, "--lab", "native"]
    command += ["--approach", approach, *options]
    script = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(
        command, cwd=PROJECT, input=script, capture_output=True, text=True, check=False
    )
    said = done.stdout.partition("*** Starting CLI:")[2]
    assert said, done.stdout + done.stderr
    return done.returncode, said


def phases(said):
    return {name: float(value) for name, value in PHASES.findall(said)}


def test_a_bootstrap_is_followed_and_its_phases_are_those_of_a_capture(place):
    file = place / "A.pcapng"

    status, said = carry_out(
        "paper", "pana-ikev2", f"capture A {file}", "bootstrap", "ping", "capture A stop",
        "events CN", "events B", "A ip -6 xfrm state count",
    )  # fmt: skip

    assert status == 0, said
    told = phases(said)
    assert list(told) == ["PANA", "PANA to IKE", "IKE", "IKE to BU", "BU/BA", "total"]
    assert re.search(r"^ .* A +role +Bootstrapped  home_address=", said, re.M)
    assert "CN: 4 of 4 answers from 2001:db8:100::" in said
    seen = from_capture(file, macs(paper.TOPOLOGY)).phases
    for name, value in zip(seen, told.values(), strict=True):
        assert 1e3 * seen[name] == pytest.approx(value, abs=0.06), name
    before, _, after = said.partition("ping")
    assert re.search(r"B +pana +Authorised", before + after)
    assert "SAD count" in said  # Mininet's own commands are there too.


def test_each_message_waits_at_the_access_link_until_a_step_lets_it_pass():
    status, said = carry_out(
        "paper", "pana-ikev2", "pause", "bootstrap", "CN ping -c1 -W1 2001:db8:a::1", "sh sleep 2",
        "step", "step 2", "step 100", "resume", "ping",
    )  # fmt: skip

    assert status == 0, said
    passed = PASSED.findall(said)
    assert passed[:3] == [
        ("A", "B", "PANA PCI"),
        ("B", "A", "PANA PAR[S]"),
        ("A", "B", "PANA PAN[S]"),
    ]
    what = [message for _, _, message in passed]
    assert what[-2:] == ["MIPv6 Binding Update in ESP", "MIPv6 Binding Ack in ESP"]
    assert what.count("IKEv2 IKE_SA_INIT") == 2
    assert len(what) == len(re.findall(r"^  held: ", said, re.M))
    first, _, rest = said.partition("held: A -> B  PANA PCI")
    assert "Bootstrapped" not in first
    assert "1 packets transmitted, 1 received" in rest  # What is none of these passes.
    assert phases(rest)["total"] > 2000  # It waited for sleep, and what was sent again for it.
    assert "4 of 4 answers" in rest


def test_what_resume_lets_pass_goes_on_to_the_end():
    status, said = carry_out("paper", "pana-ikev1", "step", "step", "resume", "ping")

    assert status == 0, said
    assert [message for _, _, message in PASSED.findall(said)] == ["PANA PCI", "PANA PAR[S]"]
    assert "A    role       Bootstrapped" in said
    assert "4 of 4 answers" in said


def test_programs_are_killed_and_started_and_packets_lost():
    status, said = carry_out(
        "paper", "pana-ikev2", "kill B", "start B", "bootstrap", "loss 100", "loss 0", "ping",
        "kill home network", "start C", "kill A", "start A", "ping",
    )  # fmt: skip

    assert status == 0, said
    assert said.count("role       Bootstrapped") == 2
    assert said.count("4 of 4 answers") == 2


TROUBLE = (
    ("ping", "there is no home address yet: bootstrap"),
    ("resume", "the access link is not held"),
    ("pause", ""),
    ("pause", "the access link is held already"),
    ("resume", ""),
    ("start B", "host B has no program of this approach"),
    ("start C", "the program in host C runs"),
    ("kill CN", "no program runs in host CN"),
    ("kill A", "no program runs in host A"),
    ("kill D", "there is no host or role 'D'"),
    ("move", "there is one access link; topology mobility has two"),
    ("capture A /nowhere/A.pcapng", "/nowhere/A.pcapng: No such file or directory"),
    ("capture A stop", "host A is not being captured"),
    ("fly", "there is no command 'fly'"),
    ("loss ten", "'ten' is no percentage"),
    ("bootstrap", ""),
    ("bootstrap", "A has bootstrapped: kill A"),
    ("loss 100", ""),
    ("ping", "CN gets no answer from 2001:db8:100::"),
    ("kill A", ""),
    ("bootstrap", "no bootstrap within "),
    ("nodes", ""),
)


def test_a_script_in_which_commands_fail_goes_on_and_ends_with_status_1():
    status, said = carry_out(
        "paper", "static", *(line for line, _ in TROUBLE), options=("--set", "timeout=5.0")
    )

    answers = said.split("mininet> ")[1:]
    for (line, why), answer in zip(TROUBLE, answers, strict=False):
        told = [one for one in answer.splitlines() if one.startswith("***")]  # Behind events.
        assert len(told) == bool(why), (line, answer)
        assert not why or told[0].startswith(f"*** {why}"), (line, answer)
    assert "available nodes are" in answers[len(TROUBLE) - 1]
    assert status == 1
    assert "Traceback" not in said


def test_a_mobile_node_moves_to_the_other_access_link_and_back():
    status, said = carry_out(
        "mobility", "pana-ikev2", "bootstrap", "loss 1", "loss 0", "move", "ping", "move access",
        "step", "resume", "ping",
    )  # fmt: skip

    moved, back = re.findall(r"detection: ([\d.]+) ms\naddress: ([\d.]+) ms\naccess: ", said)
    assert min(map(float, (*moved, *back))) > 0
    assert said.count("4 of 4 answers") == 2
    assert "to access2" in said
    assert "*** nothing is held, for the bootstrap is over" in said
    assert status == 1


def test_another_program_reads_a_capture_while_it_is_made(place):
    copy = place / "copy.pcapng"

    status, said = carry_out(
        "paper", "static", f"capture A | cat >{copy}", "bootstrap", "ping", options=()
    )

    assert status == 0, said
    told = phases(said)
    seen = from_capture(copy, macs(paper.TOPOLOGY)).phases
    assert 1e3 * seen["total"] == pytest.approx(told["total"], abs=0.06)
