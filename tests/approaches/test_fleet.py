"""Many mobile nodes, access routers and home agents: who is told what about whom."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from agents.aaa import subscribers
from agents.approaches import dns_ikev2, pana_ikev1, pana_ikev2, static
from agents.approaches.settings import HomeAgentSettings
from topologies import operator
from topologies.model import autoconfigured, link_local_address


def composed(folder, approach=pana_ikev2, **parameters):
    """Return the configurations by host."""
    topology = operator.build(**parameters)
    settings = msgspec.convert({}, approach.Settings)
    return {p.host: p.configuration for p in approach.compose(settings, topology, folder, folder)}


def test_each_mobile_node_has_its_own_identity_and_speaks_to_its_own_access_router(tmp_path):
    made = composed(tmp_path, mobile_nodes=3, access_routers=2)
    nodes = {node["host"]: node for node in made["MN0001"]["nodes"]}
    identities = [node["eap"]["identity"] for node in nodes.values()]
    assert identities == ["mn0001@home.test", "mn0002@home.test", "mn0003@home.test"]
    assert len({node["eap"]["tls"]["certificate"] for node in nodes.values()}) == 3
    routers = [made[name]["address"] for name in ("AR1", "AR2", "AR1")]
    assert [node["access"]["paa"] for node in nodes.values()] == routers


def test_the_home_aaa_server_knows_every_access_router_and_home_agent(tmp_path):
    made = composed(tmp_path, access_routers=2, home_agents=3)
    known = {peer["host"] for peer in made["AAA"]["diameter_peers"]}
    clients = {"AR1", "AR2", "HA1", "HA2", "HA3"}
    assert {made[host]["diameter_identity"] for host in clients} < known
    assert set(made["AAA"]["diameter_home_agents"]) > {
        made[host]["diameter_identity"] for host in ("HA1", "HA2", "HA3")
    }


def test_subscribers_share_the_pools_of_all_home_agents(tmp_path):
    topology = operator.build(mobile_nodes=4, home_agents=2)
    pana_ikev2.prepare(tmp_path, pana_ikev2.Settings(), topology)
    document = tomllib.loads((tmp_path / "subscribers.toml").read_text())
    assert len(document["subscribers"]) == 4
    assert len({agent["pool"] for agent in document["home_agents"]}) == 2


def test_dns_names_every_home_agent(tmp_path):
    made = dns_ikev2.compose(
        dns_ikev2.Settings(), operator.build(home_agents=2), tmp_path, tmp_path
    )
    (zone,) = next(p for p in made if p.name == "AAA-nsd").configuration["zones"]
    assert [one["name"] for one in zone["home_agents"]] == ["ha1.home.test", "ha2.home.test"]


def test_home_agents_apart_from_the_home_aaa_server_ask_it_for_their_keys(tmp_path):
    made = composed(tmp_path, pana_ikev1, home_agents=2)
    assert made["AAA"]["home_agent"] is None
    for host in ("HA1", "HA2"):
        assert made[host]["ikev1"] is not None
        assert made[host]["certificate"] is None


def test_no_script_starts_ike_there(tmp_path):
    topology = operator.build()
    settings = pana_ikev1.Settings(launch="script")
    with pytest.raises(ValueError, match="no script"):
        pana_ikev1.compose(settings, topology, tmp_path, tmp_path)


def test_preconfigured_keys_need_a_home_agent_beside_the_home_aaa_server(tmp_path):
    with pytest.raises(ValueError, match="not beside the home AAA server"):
        composed(tmp_path, static)


def test_what_is_set_of_a_home_agent_reaches_the_home_aaa_server(tmp_path):
    topology = operator.build(home_agents=2)
    limits = {"ha2": HomeAgentSettings(weight=3.0, capacity=7, state="drain")}
    pana_ikev1.prepare(tmp_path, pana_ikev1.Settings(home_agents=limits), topology)
    agents = subscribers.load(tmp_path / "subscribers.toml").home_agents
    assert (agents["ha1"].weight, agents["ha1"].host) == (1.0, "ha1.home.test")
    assert (agents["ha2"].weight, agents["ha2"].capacity, agents["ha2"].state) == (3.0, 7, "drain")


def test_a_home_agent_that_is_not_there_cannot_be_set(tmp_path):
    settings = pana_ikev1.Settings(home_agents={"ha3": HomeAgentSettings()})
    with pytest.raises(ValueError, match=r"there is no home agent 'ha3'.*; use one of ha1, ha2"):
        pana_ikev1.compose(settings, operator.build(home_agents=2), tmp_path, tmp_path)


@pytest.mark.parametrize("nodes", [1, 300])
def test_every_mobile_node_has_an_address_of_its_own(nodes):
    topology = operator.build(mobile_nodes=nodes, access_routers=1)
    link = topology.link("access1")
    addresses = {
        autoconfigured(operator.access_network(1), link_local_address(topology, link, end.host))
        for end in link.ends
    }
    assert len(addresses) == nodes + 1


def zone(folder, **settings):
    """Return the weights of the home agents in the DNS by their names."""
    topology = operator.build(2, 1, 3)
    wanted = msgspec.convert(settings, dns_ikev2.Settings)
    made = dns_ikev2.compose(wanted, topology, folder, folder)
    [dns] = [p.configuration for p in made if p.module == "agents.daemons.nsd"]
    [found] = dns["zones"]
    return {one["name"].partition(".")[0]: one["weight"] for one in found["home_agents"]}


def test_the_dns_deals_mobile_nodes_out_as_the_home_aaa_server_would(tmp_path):
    assert len(set(zone(tmp_path).values())) == 1
    assert 0 not in zone(tmp_path).values()
    agents = {"ha1": {"state": "drain"}, "ha2": {"weight": 2.0}, "ha3": {"weight": 3.0}}
    weights = zone(tmp_path, selection="weighted", home_agents=agents)
    assert weights.keys() == {"ha2", "ha3"}
    assert weights["ha3"] / weights["ha2"] == 1.5


def test_great_weights_find_room_in_the_dns(tmp_path):
    agents = {"ha1": {"weight": 1e6}, "ha2": {"weight": 0.001}}
    weights = zone(tmp_path, selection="weighted", home_agents=agents)
    assert (weights["ha1"], weights["ha2"]) == (65535, 1)


@pytest.mark.parametrize(
    ("agents", "told"),
    [
        ({"ha2": {"capacity": 5}}, r"home_agents\.ha2\.capacity: by DNS the mobile node picks"),
        ({f"ha{n}": {"state": "drain"} for n in (1, 2, 3)}, "all are drained"),
    ],
)
def test_what_the_dns_cannot_say_is_refused(tmp_path, agents, told):
    with pytest.raises(ValueError, match=told):
        zone(tmp_path, home_agents=agents)
