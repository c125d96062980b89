"""Access by IEEE 802.1X in whole bootstraps: hostapd, wpa_supplicant, and ports by MAC address."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from testbed.results import folder as results
from testbed.runner import Outcome
from testbed.trace.dissect import dissect
from testbed.trace.frames import read_frames
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.needs import needs

DOT1X = 'roles.access.protocol = "802.1x"'
EXPERIMENT = f"""
name = "dot1x"
approach = "dot1x-dhcpv6-ikev2"
topology = "dhcpv6"
timeout = 60.0
[settings]
duplicate_address_detection = false
[variants.life]
steps = [
    {{ host = "B", command = "reauthenticate", until = "A BindingAccepted", packets = 5 }},
    {{ host = "A", command = "reauthenticate", until = "A BindingAccepted", packets = 5 }},
    {{ host = "C", command = "reauthenticate mn@home.test", until = "A BindingAccepted" }},
    {{ host = "C", command = "withdraw mn@home.test", until = "A BindingAccepted" }},
]
[variants.radius]
roles.aaa.protocol = "radius"
[variants.lifetime]
settings.session_lifetime = 10.0
steps = [{{ host = "A", until = "A BindingAccepted", packets = 5, timeout = 20.0 }}]
[variants.logoff]
steps = [
    {{ host = "A", command = "terminate", until = "B PortClosed" }},
    {{ host = "A", run = "! ping -6 -c1 -W1 2001:db8:b::2" }},
]
[variants.killed]
steps = [
    {{ host = "B", kill = "program", lasts = 1.0, start = true }},
    {{ host = "A", command = "reauthenticate", until = "A BindingAccepted", timeout = 60.0 }},
    {{ host = "A", kill = "program", lasts = 1.0, start = true, packets = 5, timeout = 30.0 }},
]
[variants.freeradius]
approach = "pana-ikev1"
topology = "paper"
roles.aaa.server = "freeradius"
{DOT1X}
[variants.relayed]
roles.aaa.relay = "freediameter"
settings.diameter_tls = true
[variants.strongswan]
approach = "pana-ikev2"
topology = "paper"
roles.ike = {{ initiator = "strongswan", responder = "strongswan" }}
settings.ike.authentication = "psk"
{DOT1X}
[variants.refused]
settings.credential = "other-ca"
expect.reason = "802.1X"
[variants.stranger]
approach = "pana-ikev1"
topology = "attacked"
{DOT1X}
steps = [
    {{ host = "E", run = "! ping -6 -c1 -W1 2001:db8:a::1" }},
    {{ host = "E", run = "! ping -6 -c1 -W1 2001:db8:b::2" }},
    {{ host = "A", run = "ping -6 -c1 -W5 2001:db8:b::2" }},
]
"""
VARIANTS = (
    "life",
    "radius",
    "lifetime",
    "logoff",
    "killed",
    "freeradius",
    "relayed",
    "strongswan",
    "refused",
    "stranger",
)
DAEMONS = ("hostapd", "wpa_supplicant", "kea-dhcp6", "freeradius", "freeDiameterd")
pytestmark = [NEEDS, needs(*DAEMONS, "charon-systemd", "cls_flower")]
SESSION_TERMINATION = b"\xc0\x00\x01\x13"
"""Flags and code of the request (RFC 6733 section 8.4.1)."""


@pytest.fixture(scope="module")
def done(place: Path) -> Outcome:
    path = place / "dot1x.toml"
    path.write_text(EXPERIMENT)
    return carry_out_here(path, place / "results")


def folder(done: Outcome, variant: str) -> Path:
    [run] = [run for run in done.results.runs if run.variant == variant]
    return results.run_folder(done.folder, run.run)


def labels(done: Outcome, variant: str, host: str) -> list[str]:
    """Return the bootstrap's messages in a host's capture."""
    frames = read_frames(folder(done, variant) / "captures" / f"{host}.pcapng")
    return [f"{m.protocol} {m.label}" for m in dissect(frames)]


def told(done: Outcome, variant: str, event: str) -> list[dict]:
    lines = (folder(done, variant) / "events.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_comes_to_what_it_must(done, variant, record_property):
    [run] = [run for run in done.results.runs if run.variant == variant]
    record_property("run", folder(done, variant))
    assert run.status in ("ok", "expected"), run.reason


def test_hostapd_asks_anew_when_session_timeout_is_over(done):
    assert len(told(done, "lifetime", "PortOpened")) >= 2
    assert told(done, "lifetime", "PortClosed")[0]["reason"] == "the authenticator ends"


def test_the_home_aaa_server_hears_of_a_logoff_on_the_wire(done):
    assert labels(done, "logoff", "A").count("802.1X EAPOL-Logoff") == 1
    frames = read_frames(folder(done, "logoff") / "captures" / "B.pcapng")
    left = next(f.time for f in frames if f.data[12:16] == b"\x88\x8e\x01\x02")
    ends = [f.time for f in frames if SESSION_TERMINATION in f.data]
    assert [time > left for time in ends] == [True]


def test_who_is_refused_is_told_so_and_no_port_opens(done):
    assert "802.1X EAP-Failure" in labels(done, "refused", "A")
    assert told(done, "refused", "PortOpened") == []
    assert told(done, "refused", "Refused")


def test_keys_are_in_no_file_of_a_run(done):
    [log] = (folder(done, "strongswan") / "configuration").rglob("wpa_supplicant.log")
    text = log.read_text()
    assert "CTRL-EVENT-EAP-SUCCESS" in text
    assert "hexdump" not in text
    assert not re.search("([0-9a-f]{2} ){16}", text)
