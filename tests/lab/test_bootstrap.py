"""The whole bootstrap on a real kernel: every variant of it, what Wireshark sees, and refusals."""

import re
from pathlib import Path

import pytest

from testbed.base.jsonl import read_lines
from testbed.results import folder as results
from testbed.runner import Outcome
from tests.lab.experiment import NEEDS, carry_out_here
from tests.wireshark import rows

HOME_ADDRESS = "2001:db8:100::1234"
ACCESS_DELAY = 0.02  # s
FIELDS = (
    "frame.interface_name",
    "frame.protocols",
    "_ws.malformed",
    "tls.handshake.certificate",
    "diameter.cmd.code",
    "diameter.avp.code",
    "isakmp.exchangetype",
    "mip6.mhtype",
    "ipv6.opt.mipv6.home_address",
)
EXPERIMENT = f"""
name = "test"
approach = "pana-ikev1"
topology = "paper"
timeout = 40.0
[settings]
duplicate_address_detection = false
[variants.plain]
[variants.script]
settings.launch = "script"
settings.duplicate_address_detection = true
[variants.aggressive]
settings.ike.mode = "aggressive"
settings.ike.group = "ecp256"
settings.ike.pfs = true
[variants.tls12-rsa]
settings.tls_version = "TLSv1.2"
settings.key_type = "rsa2048"
settings.diameter_tls = true
[variants.fragments-sha1]
settings.eap_fragment_size = 200
settings.ike.hash = "sha1"
settings.ike.key_bits = 256
[variants.delays]
links.access.delay = {ACCESS_DELAY}
links.core.delay = 0.03
[variants.radius]
roles.aaa.protocol = "radius"
[variants.expired]
settings.credential = "expired"
[variants.other-ca]
settings.credential = "other-ca"
[variants.not-subscribed]
settings.subscribed = false
[variants.no-mobility]
settings.mobility_subscribed = false
"""
pytestmark = NEEDS


@pytest.fixture(scope="module")
def done(place: Path) -> Outcome:
    """One run of each variant, all from one warm image."""
    path = place / "test.toml"
    path.write_text(EXPERIMENT)
    return carry_out_here(path, place / "results")


@pytest.fixture(scope="module")
def runs(done: Outcome) -> dict[str, results.Run]:
    """The runs by their variants."""
    return {run.variant: run for run in done.results.runs}


@pytest.fixture(scope="module")
def run_folder(done: Outcome, runs: dict[str, results.Run]) -> Path:
    """The folder of the run without changes."""
    return results.run_folder(done.folder, runs["plain"].run)


@pytest.fixture(scope="module")
def frames(run_folder: Path) -> dict[str, list[dict[str, list[str]]]]:
    """What tshark says of the frames of each host's capture: the values of FIELDS.

    Of A and C it has the run's keys. On B every IKEv1 message is seen twice, which confuses
    Wireshark's chain of IVs.
    """

    def seen(host: str) -> list[dict[str, list[str]]]:
        profile = None if host == "B" else run_folder / "keys" / "wireshark"
        lines = rows(run_folder / "captures" / f"{host}.pcapng", *FIELDS, profile=profile)
        return [
            {name: value.split(",") for name, value in zip(FIELDS, line.split("\t"), strict=True)}
            for line in lines
        ]

    return {host: seen(host) for host in ("A", "B", "C")}


def test_it_succeeds_and_capture_and_events_agree(runs):
    run = runs["delays"]

    assert run.status == "ok", run.reason
    assert run.phases
    assert run.event_phases
    for phase, seconds in run.phases.items():  # The wrong message is a crossing away at least.
        assert run.event_phases[phase] == pytest.approx(seconds, abs=ACCESS_DELAY), phase
    assert run.first_packet
    assert run.first_packet > run.phases["total"]


@pytest.mark.parametrize(
    "variant", ["plain", "script", "aggressive", "tls12-rsa", "fragments-sha1", "delays", "radius"]
)
def test_it_succeeds_otherwise_too(done, runs, variant, record_property):
    record_property("run", results.run_folder(done.folder, runs[variant].run))
    assert runs[variant].status == "ok", runs[variant].reason


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("expired", "certificate .*expired"),
        ("other-ca", "unknown CA"),
        ("not-subscribed", "mn@home.test"),
        ("no-mobility", "without a home agent"),
    ],
)
def test_a_refusal_is_a_failed_run_with_its_reason(done, runs, variant, reason):
    run = runs[variant]

    assert run.status == "failed"
    assert run.reason
    assert re.search(reason, run.reason)
    folder = results.run_folder(done.folder, run.run)
    assert (folder / "captures" / "A.pcapng").stat().st_size


def test_the_enforcement_point_lets_nothing_pass_before_authorisation(frames):
    core, access = (
        [
            frame["frame.protocols"][0]
            for frame in frames["B"]
            if frame["frame.interface_name"] == [f"B-{link}"]
        ]
        for link in ("core", "access")
    )
    first = next(place for place, protocols in enumerate(access) if "isakmp" in protocols)
    assert "esp" not in "".join(access[:first])
    assert any("udp:isakmp" in protocols for protocols in core)


@pytest.mark.parametrize("host", ["A", "B", "C"])
def test_wireshark_finds_nothing_malformed(frames, host):
    assert frames[host]
    assert not [frame for frame in frames[host] if frame["_ws.malformed"] != [""]]


def test_wireshark_sees_every_protocol_and_inside_of_esp(frames):
    def seen(host: str, *values: tuple[str, str]) -> int:
        return sum(all(value in frame[name] for name, value in values) for frame in frames[host])

    assert sum("pana" in frame["frame.protocols"][0].split(":") for frame in frames["A"]) >= 10
    # In TLS 1.3 only with the embedded secrets.
    assert any(frame["tls.handshake.certificate"] != [""] for frame in frames["A"])
    assert seen("B", ("diameter.cmd.code", "268")) >= 8
    assert seen("B", ("diameter.avp.code", "486"), ("diameter.avp.code", "333")) == 1
    assert seen("A", ("isakmp.exchangetype", "2")) == 6
    assert seen("A", ("isakmp.exchangetype", "32")) == 3
    update = ("mip6.mhtype", "5"), ("ipv6.opt.mipv6.home_address", HOME_ADDRESS)
    assert seen("A", *update) == 1
    assert seen("A", ("mip6.mhtype", "6")) == 1


def test_radius_takes_the_place_of_diameter_and_its_secret_stays_in_its_file(done, runs):
    folder = results.run_folder(done.folder, runs["radius"].run)
    capture = folder / "captures" / "B.pcapng"

    codes = rows(capture, "radius.code", where="radius")
    assert set(codes) == {"1", "2", "11", "4", "5"}
    assert codes.count("2") == codes.count("4") == 1
    assert rows(capture, "frame.number", where="diameter.cmd.code == 268") == []
    assert rows(capture, "frame.number", where="_ws.malformed") == []
    secret = next(done.folder.glob("shared/radius/radius/ar.visited.test")).read_text()
    for path in [folder / "events.jsonl", *folder.glob("logs/*"), *folder.glob("*/*.json")]:
        assert secret not in path.read_text(), path


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
