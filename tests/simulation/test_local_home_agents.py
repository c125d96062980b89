"""A home agent in the visited network, on the access router, whatever IKE the mobile node has."""

import pytest

import topologies
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

LOCAL = {"local_offered": True, "local_allowed": True, "prefer": "local"}
HOME_AGENT, LOCAL_HOME_AGENT = "2001:db8:100::1", "2001:db8:200::1"
PSK = {"ike": {"authentication": "psk"}}


def laboratory(folder, approach, settings):
    """Return a laboratory, not started yet."""
    prepared = PreparedApproach(approach, folder, settings, topologies.load("visited"))
    return prepared.laboratory(World(1))


def assigned(lab):
    """Return the home agents that have been assigned, one after the other."""
    told = lab.events.named("SubscriberAuthenticated")
    return [event["assignment"]["home_agent"] for event in told]


@pytest.mark.parametrize(
    ("approach", "settings"),
    [
        ("pana-ikev1", {}),
        ("pana-ikev1", {"ike": {"mode": "aggressive", "group": "ecp256"}}),
        ("pana-ikev2", PSK),
        ("pana-ikev2", {"ike": {"authentication": "psk", "group": "ecp256"}}),
        ("pana-fast", {}),
    ],
)
def test_it_negotiates_as_the_mobile_node_does(tmp_path, approach, settings):
    lab = laboratory(tmp_path, approach, LOCAL | settings)
    lab.start()
    assert lab.run(10.0, lab.is_bootstrapped)
    assert assigned(lab) == [LOCAL_HOME_AGENT]
    assert not lab.events.named("AttemptFailed")


def test_ikev2_with_eap_is_refused_there(tmp_path):
    with pytest.raises(ValueError, match=r"local_offered: .*ike.authentication = 'psk'"):
        laboratory(tmp_path, "pana-ikev2", LOCAL)
