"""freeDiameter as the relay between access routers and the home AAA server: who is told what."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.approaches import dns_ikev2, pana_ikev1, pana_ikev2, static
from agents.approaches.roles import AaaRoles, Roles
from agents.daemons.freediameter import (
    DiameterRelayConfiguration,
    access_list,
    freediameter_configuration,
)
from agents.diameter.config import PORT, TLS_PORT
from topologies import operator
from topologies.paper import TOPOLOGY
from topologies.redundant import TOPOLOGY as REDUNDANT

B_CORE = "2001:db8:b::1"


def relayed(approach=pana_ikev1, topology=TOPOLOGY, **values):
    """Return the configurations by module, with freeDiameter between access router and home."""
    settings = msgspec.convert(values, approach.Settings)
    settings = msgspec.structs.replace(settings, roles=Roles(aaa=AaaRoles(relay="freediameter")))
    composed = approach.compose(settings, topology, Path("shared"), Path("run"))
    return {program.module.removeprefix("agents."): program.configuration for program in composed}


@pytest.mark.parametrize(("tls", "port"), [(False, PORT), (True, TLS_PORT)])
def test_freediameter_is_between_the_access_router_and_home(tls, port):
    made = relayed(diameter_tls=tls)
    router, relay = made["nodes.access_router.main"], made["daemons.freediameter"]
    home = made["nodes.home_network.main"]

    asked = router["home"]
    (server,) = relay["home"]
    assert asked["host"] == relay["diameter_identity"]
    assert list(asked["relays"]) == [server["realm"]]
    assert (asked["address"], asked["port"]) == (relay["address"], relay["port"]) == (B_CORE, port)
    assert router["home_realm"] == home["diameter_realm"]
    assert list(relay["clients"]) == [router["diameter_identity"]]
    assert server["host"] == home["diameter_identity"]
    peers = {peer["host"]: peer for peer in home["diameter_peers"]}
    assert list(peers[relay["diameter_identity"]]["relays"]) == [router["diameter_realm"]]
    assert router["diameter_identity"] not in peers

    configuration = msgspec.convert(relay, DiameterRelayConfiguration)
    text = freediameter_configuration(configuration)
    assert ("TLS_Cred" in text, "No_TLS" in text) == (tls, not tls)
    assert access_list(configuration).startswith("ALLOW_IPSEC ") is not tls


def test_one_relay_serves_all_access_routers():
    topology = operator.build(mobile_nodes=3, access_routers=2)
    relay = relayed(pana_ikev2, topology)["daemons.freediameter"]
    assert list(relay["clients"]) == ["ar1.visited.test", "ar2.visited.test"]


@pytest.mark.parametrize("approach", [dns_ikev2, static])
def test_there_is_nothing_to_relay_where_no_access_router_asks(approach):
    with pytest.raises(ValueError, match=r"roles\.aaa\.relay: with this approach no access router"):
        relayed(approach)


def test_radius_is_not_relayed():
    roles = Roles(aaa=AaaRoles(protocol="radius", relay="freediameter"))
    settings = msgspec.structs.replace(pana_ikev1.Settings(), roles=roles)
    with pytest.raises(ValueError, match="it relays Diameter"):
        pana_ikev1.compose(settings, TOPOLOGY, Path("shared"), Path("run"))


@pytest.mark.parametrize("name", ["", "a b", 'a"; Port = 1;', "a\n", "a..b"])
def test_what_freediameter_would_misread_is_refused(name):
    relay = relayed()["daemons.freediameter"]
    with pytest.raises(msgspec.ValidationError, match="is no name of a Diameter node"):
        msgspec.convert(relay | {"clients": [name]}, DiameterRelayConfiguration)


def test_freediameter_needs_the_address_of_home():
    relay = relayed()["daemons.freediameter"]
    (home,) = relay["home"]
    with pytest.raises(msgspec.ValidationError, match="needs its address"):
        msgspec.convert(relay | {"home": [home | {"address": None}]}, DiameterRelayConfiguration)


def test_it_knows_every_home_aaa_server():
    relay = relayed(pana_ikev2, REDUNDANT)["daemons.freediameter"]
    text = freediameter_configuration(msgspec.convert(relay, DiameterRelayConfiguration))
    assert [text.count(f'ConnectPeer = "aaa{n}.home.test"') for n in (1, 2)] == [1, 1]
