"""Real daemons in roles: whole bootstraps with them, and what of theirs ends with a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.results import folder as results
from testbed.runner import Outcome
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.needs import needs

PSK = 'settings.ike.authentication = "psk"'
ENDS = """
steps = [
    { host = "C", run = 'test "$(ip xfrm state | grep -c "proto esp")" = 2' },
    { host = "A", command = "reauthenticate", until = "A BindingAccepted" },
    { host = "C", command = "withdraw mn@home.test", until = "C ChildDeleted" },
]
"""
ORDERS = """
steps = [
    { host = "C", command = "reauthenticate mn@home.test", until = "A BindingAccepted" },
    { host = "C", command = "withdraw mn@home.test", until = "A BindingAccepted" },
    { host = "B", command = "ping", until = "B PingAnswered" },
]
"""
EXPERIMENT = f"""
name = "roles"
approach = "pana-ikev1"
topology = "paper"
timeout = 60.0
[settings]
duplicate_address_detection = false
[variants.ikev1-initiator]
roles.ike.initiator = "strongswan"
[variants.ikev1-responder]
roles.ike.responder = "strongswan"
[variants.ikev1-both]
roles.ike.initiator = "strongswan"
roles.ike.responder = "strongswan"
{ENDS}
[variants.aggressive-initiator]
roles.ike.initiator = "strongswan"
settings.ike.mode = "aggressive"
[variants.aggressive-responder]
roles.ike.responder = "strongswan"
settings.ike = {{ mode = "aggressive", group = "ecp256", pfs = true }}
[variants.script-both]
roles.ike.initiator = "strongswan"
roles.ike.responder = "strongswan"
settings.launch = "script"
[variants.ikev2-initiator]
approach = "pana-ikev2"
roles.ike.initiator = "strongswan"
{PSK}
[variants.ikev2-eap-initiator]
approach = "pana-ikev2"
roles.ike.initiator = "strongswan"
settings.tls_version = "TLSv1.2"
{ENDS}
[variants.ikev2-responder]
approach = "pana-ikev2"
roles.ike.responder = "strongswan"
{PSK}
[variants.ikev2-both]
approach = "pana-ikev2"
roles.ike.initiator = "strongswan"
roles.ike.responder = "strongswan"
{PSK}
{ENDS}
[variants.relayed]
roles.aaa.relay = "freediameter"
{ORDERS}
[variants.relayed-tls]
roles.aaa.relay = "freediameter"
settings.diameter_tls = true
{ORDERS}
[variants.relayed-ikev2]
approach = "pana-ikev2"
roles.aaa.relay = "freediameter"
[variants.relayed-dhcpv6]
approach = "dhcpv6-ikev2"
topology = "dhcpv6"
roles.aaa.relay = "freediameter"
settings.diameter_tls = true
"""
OWN = """
[variants.own-dns]
approach = "dns-ikev2"
[variants.own-dns.roles.dns.server]
command = ["nsd", "-d", "-c", "$work/nsd.conf"]
[variants.own-dns.roles.dns.server.files]
"home.zone" = "$zone"
"nsd.conf" = '''
server:
  ip-address: $address@53
  username: ""
  database: ""
  pidfile: ""
  zonesdir: "$work"
  xfrdfile: ""
  xfrdir: "$work"
  zonelistfile: "$work/zone.list"
remote-control:
  control-enable: no
zone:
  name: "$domain"
  zonefile: "home.zone"
'''
"""
VARIANTS = (
    "ikev1-initiator",
    "ikev1-responder",
    "ikev1-both",
    "aggressive-initiator",
    "aggressive-responder",
    "script-both",
    "ikev2-initiator",
    "ikev2-eap-initiator",
    "ikev2-responder",
    "ikev2-both",
    "own-dns",
    "relayed",
    "relayed-tls",
    "relayed-ikev2",
    "relayed-dhcpv6",
)
pytestmark = [NEEDS, needs("charon-systemd", "freeDiameterd", "kea-dhcp6")]


@pytest.fixture(scope="module")
def done(place: Path) -> Outcome:
    path = place / "roles.toml"
    path.write_text(EXPERIMENT + OWN)
    return carry_out_here(path, place / "results")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_bootstrap_succeeds(done, variant, record_property):
    [run] = [run for run in done.results.runs if run.variant == variant]
    record_property("run", results.run_folder(done.folder, run.run))
    assert run.status == "ok", run.reason
