"""IKEv1 against strongSwan in both directions, main and aggressive mode; SAs of both kernels."""

from __future__ import annotations

import pytest

from tests.lab.ike import HOA, NEEDS, OURS, PSK, SWAN, Driver, esp_states
from tests.lab.namespaces import wait_until

MN_NAME = "mn@example.org"

pytestmark = NEEDS


@pytest.fixture
def start(world):
    def run(**spec: object) -> Driver:
        return world.drive("ikev1_driver", **({"psk": PSK, "proposals": [[128, 4, 14]]} | spec))

    return run


@pytest.fixture
def load(world):
    """Load strongSwan's connection; `identity` is the initiator's."""

    def run(
        *,
        initiator: bool,
        mode: str = "main",
        psk: str = PSK,
        identity: str = "",
        home: str = f"{HOA}/128",
        proposals: str = "aes128-sha256-modp2048",
        esp: str = "aes128-sha256",
        **more: object,
    ) -> None:
        node, agent = {"auth": "psk"}, {"auth": "psk"}
        if identity:
            node["id"] = identity
        local, remote = (node, agent) if initiator else (agent, node)
        world.daemon.load_psk(psk, local.get("id", SWAN), remote.get("id", OURS))
        more |= {"version": "1", "aggressive": "yes" if mode == "aggressive" else "no"}
        more |= {"local": local, "remote": remote}
        world.load(initiator=initiator, home=home, proposals=proposals, esp=esp, **more)

    return run


CASES = {
    "main-modp2048": ("main", [128, 4, 14], "aes128-sha256-modp2048", None, "aes128-sha256"),
    "main-ecp256-pfs": ("main", [128, 4, 19], "aes128-sha256-ecp256", 19, "aes128-sha256-ecp256"),
    "main-aes256-sha1": ("main", [256, 2, 14], "aes256-sha1-modp2048", 14, "aes128-sha1-modp2048"),
    "aggressive-modp2048": (
        "aggressive",
        [128, 4, 14],
        "aes128-sha256-modp2048",
        None,
        "aes128-sha256",
    ),
    "aggressive-ecp256-pfs": (
        "aggressive",
        [256, 4, 19],
        "aes256-sha256-ecp256",
        14,
        "aes128-sha256-modp2048",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_we_initiate(world, load, start, case):
    mode, proposal, ike, pfs, esp = case
    load(initiator=False, mode=mode, proposals=ike, esp=esp)
    driver = start(mode=mode, proposals=[proposal], pfs=pfs, selectors=[HOA, SWAN])
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_strongswan_initiates(world, load, start, case):
    mode, proposal, ike, pfs, esp = case
    load(initiator=True, mode=mode, proposals=ike, esp=esp)
    driver = start(proposals=[proposal], pfs=pfs, home_address=HOA)
    world.bring_up()
    keyed = driver.wait_for("ChildKeyed", "Failed")
    assert keyed["event"] == "ChildKeyed", driver.events
    event = driver.up()
    assert event["sas"] == keyed["sas"]
    world.assert_same_sas(event)


@pytest.mark.parametrize("identity", [MN_NAME, HOA])
def test_we_initiate_aggressive_mode_by_identity(world, load, start, identity):
    load(initiator=False, mode="aggressive", proposals="aes128-sha256-ecp256", identity=identity)
    driver = start(
        mode="aggressive",
        identity=identity,
        proposals=[[128, 4, 19]],
        selectors=[HOA, SWAN],
    )
    world.assert_same_sas(driver.up())


def test_strongswan_initiates_aggressive_mode_by_identity(world, load, start):
    load(initiator=True, mode="aggressive", proposals="aes128-sha256-ecp256", identity=MN_NAME)
    driver = start(
        proposals=[[128, 4, 19]],
        home_address=HOA,
        by_address=False,
        peer_identity=MN_NAME,
    )
    world.bring_up()
    assert driver.wait_for("Phase1Established")["identity"] == MN_NAME
    world.assert_same_sas(driver.up())


def test_our_delete_reaches_strongswan(world, load, start):
    load(initiator=False)
    driver = start(selectors=[HOA, SWAN])
    world.assert_same_sas(driver.up())
    driver.command("delete")
    driver.wait_for("ChildDeleted")
    driver.wait_for("Phase1Deleted")
    wait_until(lambda: not (world.daemon.sas() or esp_states(world.swan)), "it has no SA")
    assert esp_states(world.ours) == []


def test_strongswans_delete_reaches_us(world, load, start):
    load(initiator=True)
    driver = start(home_address=HOA)
    world.bring_up()
    driver.up()
    list(world.daemon.session.terminate({"ike": "mip", "timeout": "5000"}))
    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    assert driver.wait_for("Phase1Deleted")["reason"] == "deleted by the peer"
    wait_until(lambda: not esp_states(world.ours), "no SA in our kernel")


@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_we_initiate_with_another_psk(world, load, start, mode):
    load(initiator=False, mode=mode, psk="another")
    driver = start(mode=mode, selectors=[HOA, SWAN])
    assert "pre-shared keys" in driver.wait_for("Failed")["reason"]
    assert esp_states(world.swan) == []


@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_strongswan_initiates_with_another_psk(world, load, start, mode):
    load(initiator=True, mode=mode, psk="another")
    driver = start(home_address=HOA)
    assert not world.initiate()
    reason = driver.wait_for("Failed")["reason"]
    if mode == "main":
        assert "pre-shared keys probably differ" in reason
    else:  # strongSwan has seen the wrong hash first, and sends no message 3.
        assert "message 3 never came" in reason
    assert esp_states(world.swan) == []


def test_strongswan_refuses_our_phase_1_proposal(load, start):
    load(initiator=False, proposals="aes256-sha256-ecp256")
    driver = start(selectors=[HOA, SWAN])
    assert "NO-PROPOSAL-CHOSEN (unauthenticated)" in driver.wait_for("Failed")["reason"]


def test_strongswan_refuses_our_esp_proposal(load, start):
    load(initiator=False, esp="aes256-sha512")
    driver = start(selectors=[HOA, SWAN])
    assert "NO-PROPOSAL-CHOSEN" in driver.wait_for("Failed")["reason"]


def test_we_refuse_strongswans_proposals(world, load, start):
    load(initiator=True, proposals="aes256-sha256-ecp256")
    driver = start(home_address=HOA)
    assert not world.initiate()
    assert "none of the peer's phase 1 proposals" in driver.wait_for("Failed")["reason"]


def test_we_refuse_another_home_address(world, load, start):
    load(initiator=True, home="2001:db8:100::666/128")
    driver = start(home_address=HOA)
    assert not world.initiate()
    assert "2001:db8:100::666" in driver.wait_for("Failed")["reason"]
    assert esp_states(world.swan) == []


def test_strongswan_takes_our_rekeying(world, load, start):
    load(initiator=False)
    driver = start(selectors=[HOA, SWAN], esp_lifetime=6)
    first = driver.up()
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    world.assert_same_sas(second)


def test_strongswans_dead_peer_detection_finds_us_alive(world, load, start):
    load(initiator=True, dpd_delay="1s")
    driver = start(home_address=HOA)
    world.bring_up()
    driver.up()
    before = world.daemon.log.count("DPD_ACK")
    wait_until(lambda: world.daemon.log.count("DPD_ACK") > before, "an R-U-THERE-ACK has come")
    assert len(world.daemon.children()) == 1


def test_strongswans_rekeying_of_the_child(world, load, start):
    load(initiator=True)
    driver = start(home_address=HOA)
    world.bring_up()
    driver.up()
    world.daemon.session.rekey({"child": "mh"})
    second = driver.up()
    driver.wait_for("ChildDeleted")
    world.assert_same_sas(second)
