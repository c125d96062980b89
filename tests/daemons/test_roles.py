"""Which programs take which roles, and what is said of roles that cannot be taken."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import topologies
from agents import approaches
from agents.approaches.roles import Roles

OWN = {"command": ["mine", "$work/mine.conf"], "files": {"mine.conf": "listen $address $$1"}}


def composed(approach: str, roles: dict, topology: str = "paper", **settings: object) -> dict:
    module = approaches.load(approach)
    wanted = msgspec.convert(settings, module.Settings)
    wanted = msgspec.structs.replace(wanted, roles=msgspec.convert(roles, Roles))
    programs = module.compose(wanted, topologies.load(topology), Path("/shared"), Path("/run1"))
    return {program.name: program for program in programs}


def test_strongswan_is_at_either_end_or_at_both():
    for initiator in ("agent", "strongswan"):
        for responder in ("agent", "strongswan"):
            roles = {"ike": {"initiator": initiator, "responder": responder}}
            programs = composed("pana-ikev1", roles)
            assert programs["A-mobile_node"].configuration["ike_daemon"] == initiator
            assert programs["C-home_network"].configuration["ike_daemon"] == responder


def test_strongswan_authenticates_by_eap_tls_1_2():
    programs = composed("pana-ikev2", {"ike": {"initiator": "strongswan"}}, tls_version="TLSv1.2")
    assert programs["A-mobile_node"].configuration["ike_daemon"] == "strongswan"


@pytest.mark.parametrize(
    ("approach", "roles", "topology", "said"),
    [
        ("pana-ikev2", {"initiator": "strongswan"}, "paper", "older than RFC 9190"),
        ("pana-ikev2", {"responder": "strongswan"}, "paper", "roles.ike.responder"),
        ("pana-ikev1", {"initiator": "strongswan"}, "operator", "roles.ike.initiator"),
    ],
)
def test_what_it_cannot_do_is_refused(approach, roles, topology, said):
    with pytest.raises(ValueError, match=said):
        composed(approach, {"ike": roles}, topology)


@pytest.mark.parametrize(
    ("approach", "role", "host", "port"),
    [("dns-ikev2", "dns", "C", 53), ("dhcpv6-ikev2", "dhcpv6", "D", 547)],
)
def test_a_command_of_ones_own_takes_a_servers_role(approach, role, host, port):
    topology = "paper" if role == "dns" else "dhcpv6"
    usual = composed(approach, {}, topology)
    programs = composed(approach, {role: {"server": OWN}}, topology)
    own = programs[f"{host}-command"].configuration
    assert own["port"] == port
    assert own["command"] == ("mine", "$work/mine.conf")
    assert len(programs) == len(usual)
    assert programs.keys() - usual.keys() == {f"{host}-command"}


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({**OWN, "command": ["mine", "$adress"]}, r"there is no \$adress here; use \$address"),
        ({**OWN, "files": {"mine.conf": "costs 5 $"}}, r"\$\$"),
        ({**OWN, "files": {"../mine.conf": ""}}, "name of a file"),
    ],
)
def test_what_a_command_cannot_be_told_is_refused(server, said):
    with pytest.raises(ValueError, match=said):
        composed("dns-ikev2", {"dns": {"server": server}})


def test_a_daemon_is_needed_by_who_has_it():
    assert Roles().needs == ()
    both = msgspec.convert({"ike": {"responder": "strongswan"}, "dns": {"server": OWN}}, Roles)
    assert both.needs == ("charon-systemd",)
    assert both.replaced == ("nsd",)
