"""IKEv1 and IKEv2 against libreswan in both directions; SAs of both kernels.

In transport mode libreswan's kernel has the SAs for the addresses between which IKE runs, whatever
address they were made for. So the mobile node's address is its home address here, as at home.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.lab.ike import HOA, OURS, PSK, SWAN, Driver, Neighbours, esp_states
from tests.lab.libreswan import PLUTO, Libreswan
from tests.lab.namespaces import wait_until
from tests.lab.needs import needs

SETTINGS = {"leftsubnet", "rightsubnet", "salifetime", "rekeymargin", "rekeyfuzz"}

pytestmark = [
    needs("esp6", "xfrm_user", "ip"),
    pytest.mark.skipif(not PLUTO.exists(), reason="needs libreswan (make setup LEVEL=tests)"),
]


@pytest.fixture(scope="module")
def world_of_a_module() -> Iterator[Neighbours[Libreswan]]:
    with closing(Neighbours(Libreswan)) as world:
        yield world


@pytest.fixture
def load(world):
    """Load libreswan's connection; `identity` is ours."""

    def run(*, version: int, psk: str = PSK, identity: str = OURS, **more: str) -> None:
        settings = {
            "type": "transport",
            "authby": "secret",
            "ikev2": "yes" if version == 2 else "no",
            "left": SWAN,
            "leftid": SWAN,
            "right": OURS,
            "rightid": identity,
            "leftprotoport": "135/0",
            "rightprotoport": "135/0",
            "leftupdown": "%disabled",  # Addresses and routes are not its business.
            "keyingtries": "1",
            "retransmit-timeout": "8",
        }
        world.daemon.load(psk, settings | more)

    return run


@pytest.fixture
def start(world):
    """Start our machine; it is the home agent, or the initiator."""

    def run(version: int, *, initiates: bool, **spec: object) -> Driver:
        ends = {"selectors": [OURS, SWAN]} if initiates else {"home_address": SWAN}
        return world.drive(f"ikev{version}_driver", **({"psk": PSK, **ends} | spec))

    return run


IKEV1 = {
    "main-modp2048": ("main", [128, 4, 14], "aes128-sha2-modp2048", None, "aes128-sha2"),
    "main-ecp256-pfs": ("main", [128, 4, 19], "aes128-sha2-dh19", 14, "aes128-sha2;modp2048"),
    "main-aes256-sha1": ("main", [256, 2, 14], "aes256-sha1-modp2048", 14, "aes128-sha1;modp2048"),
    "aggressive-modp2048": (
        "aggressive",
        [128, 4, 14],
        "aes128-sha2-modp2048",
        None,
        "aes128-sha2",
    ),
}


def ikev1(mode: str, ike: str, pfs: int | None, esp: str) -> dict[str, str]:
    return {
        "ike": ike,
        "esp": esp,
        "pfs": "yes" if pfs else "no",
        "aggressive": "yes" if mode == "aggressive" else "no",
    }


GCM, CBC = [20, 128, 0, 5], [12, 256, 14, 7]
IKEV2 = {
    "gcm128-x25519": ([*GCM, 31], "aes_gcm128-sha2-dh31", [20, 128, 0], "aes_gcm128"),
    "cbc256-sha512-ecp256": ([*CBC, 19], "aes256-sha2_512-dh19", [12, 256, 14], "aes256-sha2_512"),
    "cbc128-modp2048": (
        [12, 128, 12, 5, 14],
        "aes128-sha2-modp2048",
        [12, 128, 12],
        "aes128-sha2",
    ),
}


def ikev2(case: str = "gcm128-x25519", **more: str) -> dict[str, str]:
    _, ike, _, esp = IKEV2[case]
    return {"ike": ike, "esp": esp, "pfs": "no", **more}


@pytest.fixture
def start_ikev2(start, tmp_path):
    def run(case: str = "gcm128-x25519", **spec: object) -> Driver:
        ike, _, esp, _ = IKEV2[case]
        return start(2, **{"folder": str(tmp_path), "proposals": [ike], "esp": [esp]} | spec)

    return run


@pytest.fixture
def initiated(world, load, start, start_ikev2):
    """Have SAs made by one of both, the usual way of a version; return our machine.

    What is not libreswan's setting (ipsec.conf(5)) is our machine's.
    """

    def run(version: int, *, by_us: bool, **more: object) -> Driver:
        settings = {name: more.pop(name) for name in SETTINGS & more.keys()}
        if version == 1:
            load(
                version=1, **ikev1("main", "aes128-sha2-modp2048", None, "aes128-sha2"), **settings
            )
            driver = start(1, initiates=by_us, **({"proposals": [[128, 4, 14]]} | more))
        else:
            load(version=2, **ikev2(), **settings)
            driver = start_ikev2(initiates=by_us, **more)
        if not by_us:
            assert world.daemon.initiate(), world.daemon.log[-4000:]
        return driver

    return run


@pytest.mark.parametrize("case", IKEV1.values(), ids=IKEV1.keys())
def test_we_initiate_ikev1(world, load, start, case):
    mode, proposal, ike, pfs, esp = case
    load(version=1, **ikev1(mode, ike, pfs, esp))
    driver = start(1, initiates=True, mode=mode, proposals=[proposal], pfs=pfs)
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("case", IKEV1.values(), ids=IKEV1.keys())
def test_libreswan_initiates_ikev1(world, load, start, case):
    mode, proposal, ike, pfs, esp = case
    load(version=1, **ikev1(mode, ike, pfs, esp))
    driver = start(1, initiates=False, proposals=[proposal], pfs=pfs)
    assert world.daemon.initiate(), world.daemon.log[-4000:]
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("case", IKEV2)
def test_we_initiate_ikev2(world, load, start_ikev2, case):
    load(version=2, **ikev2(case))
    world.assert_same_sas(start_ikev2(case, initiates=True).up())


@pytest.mark.parametrize("case", IKEV2)
def test_libreswan_initiates_ikev2(world, load, start_ikev2, case):
    load(version=2, **ikev2(case))
    driver = start_ikev2(case, initiates=False)
    assert world.daemon.initiate(), world.daemon.log[-4000:]
    world.assert_same_sas(driver.up())


def test_libreswan_takes_our_rekeying_of_ikev1(world, initiated):
    driver = initiated(1, by_us=True, esp_lifetime=6)
    first = driver.up()
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    world.assert_same_sas(second)


@pytest.mark.parametrize("what", ["child", "ike"])
def test_libreswan_takes_our_rekeying_of_ikev2(world, initiated, what):
    driver = initiated(2, by_us=True)
    child = driver.up()
    driver.command(f"rekey-{what}")
    if what == "ike":
        driver.wait_for("IkeDeleted")
        driver.command("rekey-child")  # The new IKE SA works.
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == child["sas"]
    world.assert_same_sas(second)


@pytest.mark.parametrize("version", [1, 2])
def test_libreswan_replaces_the_esp_sas(world, initiated, version):
    lifetime = {"salifetime": "12s", "rekeymargin": "5s", "rekeyfuzz": "0%"} if version == 1 else {}
    driver = initiated(version, by_us=False, **lifetime)
    first = driver.up()
    if version == 2:  # It has no such command for IKEv1.
        assert world.daemon.whack("--rekey-ipsec"), world.daemon.log[-4000:]
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    world.assert_same_sas(second)


def test_libreswan_replaces_the_ike_sa(world, initiated):
    driver = initiated(2, by_us=False)
    driver.up()
    assert world.daemon.whack("--rekey-ike"), world.daemon.log[-4000:]
    driver.wait_for("IkeDeleted")
    assert world.daemon.whack("--rekey-ipsec"), world.daemon.log[-4000:]
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("version", [1, 2])
def test_our_delete_reaches_libreswan(world, initiated, version):
    driver = initiated(version, by_us=True)
    world.assert_same_sas(driver.up())
    driver.command("delete")
    driver.wait_for("ChildDeleted")
    wait_until(lambda: not (world.daemon.states() or esp_states(world.swan)), "it has no SA")
    assert esp_states(world.ours) == []


@pytest.mark.parametrize("version", [1, 2])
def test_libreswans_delete_reaches_us(world, initiated, version):
    driver = initiated(version, by_us=False)
    driver.up()
    world.daemon.whack("--terminate")
    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    gone = driver.wait_for("Phase1Deleted", "IkeDeleted")
    assert gone["reason"] == "deleted by the peer"
    wait_until(lambda: not esp_states(world.ours), "no SA in our kernel")


@pytest.mark.parametrize("version", [1, 2])
def test_we_initiate_with_another_psk(world, initiated, version):
    reason = initiated(version, by_us=True, psk="another").wait_for("Failed")["reason"]
    assert "pre-shared keys" in reason or "AUTHENTICATION_FAILED" in reason
    assert esp_states(world.swan) == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_proposal_of_ours_is_refused(initiated, version):
    theirs = [[256, 4, 19]] if version == 1 else [[*CBC, 19]]
    reason = initiated(version, by_us=True, proposals=theirs).wait_for("Failed")["reason"]
    assert "PROPOSAL" in reason


@pytest.mark.parametrize("version", [1, 2])
def test_libreswan_keeps_the_sas_of_a_home_address_for_ours(world, initiated, version):
    driver = initiated(version, by_us=True, rightsubnet=f"{HOA}/128", selectors=[HOA, SWAN])
    world.assert_same_sas(driver.up(), swan_has=OURS)


@pytest.mark.parametrize("version", [1, 2])
def test_libreswan_keeps_the_sas_of_its_home_address_for_its_own(world, initiated, version):
    driver = initiated(version, by_us=False, leftsubnet=f"{HOA}/128", home_address=HOA)
    world.assert_same_sas(driver.up(), swan_has=SWAN)
