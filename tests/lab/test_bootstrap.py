"""The whole bootstrap on a real kernel: every variant of it, what Wireshark sees, and refusals."""

import re
from pathlib import Path

import pytest

from testbed.base.jsonl import read_lines
from testbed.results import folder as results
from testbed.runner import Outcome
from tests.lab.experiment import NEEDS, carry_out_here
from tests.wireshark import tshark

HOME_ADDRESS = "2001:db8:100::1234"
EXPERIMENT = """
name = "test"
approach = "pana-ikev1"
topology = "paper"
timeout = 40.0
[settings]
duplicate_address_detection = false
[variants.only]
"""
pytestmark = NEEDS


def bootstrap(folder: Path, *assignments: str) -> Outcome:
    """Carry out one run of an experiment with these changes."""
    path = folder / "test.toml"
    path.write_text(EXPERIMENT)
    return carry_out_here(path, folder / "results", *assignments)


def only_run(outcome: Outcome) -> results.Run:
    """Return the one run there is."""
    (run,) = outcome.results.runs
    return run


def dissect(run_folder: Path, host: str, *options: str, keys: bool = False) -> str:
    """Return what tshark says of a host's capture, on request with the run's IKE and ESP keys."""
    profile = run_folder / "keys" / "wireshark" if keys else None
    return tshark(run_folder / "captures" / f"{host}.pcapng", *options, profile=profile)


@pytest.fixture(scope="module")
def done(place: Path) -> Outcome:
    """One bootstrap with the defaults."""
    return bootstrap(place)


@pytest.fixture
def run_folder(done: Outcome) -> Path:
    """The folder of that bootstrap's run."""
    return done.folder / "runs" / "0001"


def test_it_succeeds_and_capture_and_events_agree(done):
    run = only_run(done)

    assert run.status == "ok", run.reason
    assert run.phases
    assert run.event_phases
    for phase, seconds in run.phases.items():
        assert run.event_phases[phase] == pytest.approx(seconds, abs=0.005, rel=0.2), phase
    assert run.first_packet
    assert run.first_packet > run.phases["total"]


@pytest.mark.parametrize(
    "assignments",
    [
        ["settings.launch=script", "settings.duplicate_address_detection=true"],
        ["settings.ike.mode=aggressive", "settings.ike.group=ecp256", "settings.ike.pfs=true"],
        ["settings.tls_version=TLSv1.2", "settings.key_type=rsa2048", "settings.diameter_tls=true"],
        ["settings.eap_fragment_size=200", "settings.ike.hash=sha1", "settings.ike.key_bits=256"],
        ["links.access.delay=0.02", "links.core.delay=0.03"],
    ],
    ids=["script", "aggressive", "tls12-rsa", "fragments-sha1", "delays"],
)
def test_it_succeeds_otherwise_too(place, assignments):
    run = only_run(bootstrap(place, *assignments))

    assert run.status == "ok", run.reason


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("settings.credential=expired", "certificate .*expired"),
        ("settings.credential=other-ca", "unknown CA"),
        ("settings.subscribed=false", "mn@home.test"),
        ("settings.mobility_subscribed=false", "without a home agent"),
    ],
)
def test_a_refusal_is_a_failed_run_with_its_reason(place, assignment, reason):
    outcome = bootstrap(place, assignment)

    run = only_run(outcome)
    assert run.status == "failed"
    assert run.reason
    assert re.search(reason, run.reason)
    assert (outcome.folder / "runs" / "0001" / "captures" / "A.pcapng").stat().st_size


def test_the_enforcement_point_lets_nothing_pass_before_authorisation(run_folder):
    fields = ["-T", "fields", "-e", "frame.protocols"]
    core, access = (
        dissect(run_folder, "B", "-Y", f"frame.interface_name == B-{link}", *fields)
        for link in ("core", "access")
    )
    before = access[: access.index("isakmp")]
    assert "esp" not in before
    assert "udp:isakmp" in core


# On B every IKEv1 message is seen twice, which confuses Wireshark's chain of IVs.
@pytest.mark.parametrize(("host", "keys"), [("A", True), ("B", False), ("C", True)])
def test_wireshark_finds_nothing_malformed(run_folder, host, keys):
    assert not dissect(run_folder, host, "-Y", "_ws.malformed", keys=keys)


def test_wireshark_sees_every_protocol_and_inside_of_esp(run_folder):
    def seen(host: str, display_filter: str) -> int:
        return len(dissect(run_folder, host, "-Y", display_filter, keys=host == "A").splitlines())

    assert seen("A", "pana") >= 10
    assert seen("A", "tls.handshake.certificate")  # In TLS 1.3 only with the embedded secrets.
    assert seen("B", "diameter.cmd.code == 268") >= 8
    assert seen("B", "diameter.avp.code == 486 && diameter.avp.code == 333") == 1
    assert seen("A", "isakmp.exchangetype == 2") == 6
    assert seen("A", "isakmp.exchangetype == 32") == 3
    assert seen("A", f"mip6.mhtype == 5 && ipv6.opt.mipv6.home_address == {HOME_ADDRESS}") == 1
    assert seen("A", "mip6.mhtype == 6") == 1


def test_secrets_are_in_the_keys_and_captures_alone(run_folder):
    secrets = [
        line.split()[-1] for line in (run_folder / "keys" / "tls.keys").read_text().splitlines()
    ]
    entries = (run_folder / "keys" / "keys.jsonl").read_text()
    assert secrets
    for path in [run_folder / "events.jsonl", *(run_folder / "logs").iterdir()]:
        text = path.read_text()
        assert not [secret for secret in secrets if secret in text], path
    assert (run_folder / "keys").stat().st_mode & 0o777 == 0o700
    assert '"esp"' in entries
    assert '"ikev1"' in entries
    assert read_lines(run_folder / "events.jsonl", dict).items
