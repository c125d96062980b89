"""IKEv2 against strongSwan in both directions, the SAs read from both kernels."""

from __future__ import annotations

from ipaddress import IPv6Address
from types import SimpleNamespace

import pytest

from agents.daemons.strongswan.responder import StrongswanResponder
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings
from tests.lab.ike import (
    HA_NAME,
    HOA,
    MN_NAME,
    NEEDS,
    OURS,
    PSK,
    SWAN,
    Driver,
    certified,
    esp_states,
)
from tests.lab.namespaces import wait_until

GCM, CBC = [20, 128, 0, 5], [12, 256, 14, 7]
PREFIX = (1800).to_bytes(4) + bytes.fromhex("20010db8010000000000000000000000") + b"\x40"

pytestmark = NEEDS


@pytest.fixture
def start(world, certificates):
    """Start our machine; `kind` is that of its certificates."""

    def run(*, kind: str = "p256", **spec: object) -> Driver:
        base = {
            "proposals": [[*GCM, 31]],
            "esp": [[20, 128, 0]],
            "folder": f"{certificates}/{kind}",
        }
        return world.drive("ikev2_driver", **(base | spec))

    return run


@pytest.fixture
def load(world, certificates):
    """Load strongSwan's connection; with `vip` the responder assigns the home address."""
    swan = world.daemon

    def run(
        *,
        initiator: bool,
        auth: str = "psk",
        psk: str = PSK,
        kind: str = "p256",
        eap_id: str = MN_NAME,
        aaa_id: str = HA_NAME,
        vip: bool = False,
        home: str = f"{HOA}/128",
        proposals: str = "aes128gcm16-prfsha256-curve25519",
        esp: str = "aes128gcm16",
        **more: object,
    ) -> None:
        if auth == "psk":
            local = remote = {"auth": "psk"}
            swan.load_psk(psk, SWAN, OURS)
        else:
            local, remote = certified(swan, certificates / kind, auth, initiator=initiator)
        if auth == "eap-tls" and initiator:
            local["aaa_id"] = aaa_id
        elif auth == "eap-tls":
            remote["eap_id"] = eap_id
        if vip and initiator:
            home, more["vips"] = "dynamic", ["::"]
        elif vip:
            swan.session.load_pool({"homes": {"addrs": f"{HOA}/128", "16": [PREFIX]}})
            more["pools"] = ["homes"]
        more |= {"version": "2", "send_certreq": "yes", "local": local, "remote": remote}
        world.load(initiator=initiator, home=home, proposals=proposals, esp=esp, **more)

    return run


CASES = {
    "gcm128-x25519": ([*GCM, 31], "aes128gcm16-prfsha256-curve25519", [20, 128, 0], "aes128gcm16"),
    "gcm256-ecp256": (
        [20, 256, 0, 6, 19],
        "aes256gcm16-prfsha384-ecp256",
        [20, 256, 0],
        "aes256gcm16",
    ),
    "cbc128-modp2048": (
        [12, 128, 12, 5, 14],
        "aes128-sha256-modp2048",
        [12, 128, 12],
        "aes128-sha256",
    ),
    "cbc256-sha512": ([*CBC, 19], "aes256-sha512-ecp256", [12, 256, 14], "aes256-sha512"),
    "cbc128-sha384": (
        [12, 128, 13, 6, 31],
        "aes128-sha384-curve25519",
        [12, 128, 13],
        "aes128-sha384",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_we_initiate_with_a_psk(world, load, start, case):
    ike, proposals, esp, esp_proposals = case
    load(initiator=False, proposals=proposals, esp=esp_proposals)
    driver = start(psk=PSK, proposals=[ike], esp=[esp], selectors=[HOA, SWAN])
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_strongswan_initiates_with_a_psk(world, load, start, case):
    ike, proposals, esp, esp_proposals = case
    load(initiator=True, proposals=proposals, esp=esp_proposals)
    driver = start(psk=PSK, proposals=[ike], esp=[esp], home_address=HOA)
    world.bring_up()
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_we_initiate_with_a_certificate(world, load, start, kind):
    load(initiator=False, auth="pubkey", kind=kind)
    driver = start(
        kind=kind,
        certificate="mn",
        identity=MN_NAME,
        remote_identity=HA_NAME,
        selectors=[HOA, SWAN],
    )
    event = driver.wait_for("IkeEstablished", "Failed")
    assert (event["identity"], event["method"]) == (HA_NAME, "certificate"), world.daemon.log[
        -4000:
    ]
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_strongswan_initiates_with_a_certificate(world, load, start, kind):
    load(initiator=True, auth="pubkey", kind=kind)
    driver = start(kind=kind, certificate="ha", identity=HA_NAME, home_address=HOA)
    world.bring_up()
    event = driver.wait_for("IkeEstablished")
    assert (event["identity"], event["method"]) == (MN_NAME, "certificate")
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("name", [MN_NAME, "mn2@home.test"])
def test_a_subscribers_key_is_no_others_at_a_home_agent(world, start, name):
    """Both keys are known to strongSwan as they are in its role, and nobody has the other's."""

    def do(command, message):
        world.daemon.session.request(command, message)

    agent = StrongswanResponder(
        SimpleNamespace(do=do, on_event=None), None, IPv6Address(SWAN), Ikev2PskSettings(), log=None
    )
    for number, identity in enumerate((MN_NAME, "mn2@home.test")):
        home = IPv6Address(HOA) + number
        psk = f"the key of {identity}".encode()
        agent.add_psk(psk, peer=IPv6Address(OURS), identity=identity, home_address=home)
    mine = f"{IPv6Address(HOA) + (name != MN_NAME)}"
    took = f"authentication of '{name}' with pre-shared key successful"
    before = world.daemon.log.count(took)
    for key, good in (("mn@home.test", name == MN_NAME), ("mn2@home.test", name != MN_NAME)):
        driver = start(
            psk=f"the key of {key}",
            identity=name,
            remote_identity=SWAN,  # It names the home agent, whose keys are all of them.
            selectors=[mine, SWAN],
        )
        told = driver.wait_for("ChildEstablished", "Failed")["event"]
        assert told == ("ChildEstablished" if good else "Failed"), (key, name)
        driver.close()
    # Who has no right to a name need not believe the home agent's own proof either.
    assert world.daemon.log.count(took) == before + 1


@pytest.mark.parametrize("eap_id", [MN_NAME, "%any"])
def test_we_initiate_with_eap_tls(world, load, start, eap_id):
    load(initiator=False, auth="eap-tls", kind="rsa2048", eap_id=eap_id)
    driver = start(
        kind="rsa2048",
        certificate="mn",
        eap=True,
        identity=MN_NAME,
        remote_identity=HA_NAME,
        selectors=[HOA, SWAN],
    )
    event = driver.wait_for("IkeEstablished", "Failed")
    assert event.get("method") == "eap", (event, world.daemon.log[-4000:])
    world.assert_same_sas(driver.up())


def test_strongswan_initiates_with_eap_tls(world, load, start):
    load(initiator=True, auth="eap-tls")
    driver = start(certificate="ha", identity=HA_NAME, accept_eap=True, home_address=HOA)
    world.bring_up()
    event = driver.wait_for("IkeEstablished")
    assert (event["identity"], event["method"]) == (MN_NAME, "eap")
    world.assert_same_sas(driver.up())


def test_strongswan_takes_no_subscriber_for_its_home_agent(world, load, start):
    load(initiator=True, auth="eap-tls")
    start(certificate="mn", identity=HA_NAME, accept_eap=True, home_address=HOA)
    before = world.daemon.log.count("no trusted")
    assert not world.initiate()
    assert world.daemon.log.count("no trusted") == before + 1, world.daemon.log[-4000:]


def test_strongswan_takes_no_other_server_for_its_aaa_server(world, load, start):
    load(initiator=True, auth="eap-tls", aaa_id="aaa.home.test")
    driver = start(certificate="ha", identity=HA_NAME, accept_eap=True, home_address=HOA)
    assert not world.initiate()
    driver.wait_for("Failed")
    assert "authentication of 'ha.home.test' with ECDSA" in world.daemon.log
    assert esp_states(world.ours) == []


@pytest.mark.parametrize("auth", ["psk", "eap-tls"])
def test_strongswan_assigns_the_home_address(world, load, start, auth):
    load(initiator=False, vip=True, auth=auth, kind="rsa2048")
    spec = {"psk": PSK}
    if auth != "psk":
        spec = {"certificate": "mn", "eap": True, "identity": MN_NAME, "remote_identity": HA_NAME}
    driver = start(kind="rsa2048", selectors=[None, SWAN], **spec)
    assigned = driver.wait_for("AddressAssigned", "Failed")
    assert assigned.get("home_address") == HOA, (assigned, world.daemon.log[-4000:])
    assert assigned["prefix"] == "2001:db8:100::/64"
    assert assigned["prefix_lifetime"] == "1800"
    world.assert_same_sas(driver.up())


@pytest.mark.parametrize("auth", ["psk", "eap-tls"])
def test_we_assign_the_home_address(world, load, start, auth):
    load(initiator=True, vip=True, auth=auth)
    spec = {"psk": PSK}
    if auth != "psk":
        spec = {"certificate": "ha", "identity": HA_NAME, "accept_eap": True}
    driver = start(home_address=HOA, **spec)
    world.bring_up()
    event = driver.up()
    assert {sa["src"] for sa in event["sas"]} == {HOA, OURS}
    world.assert_same_sas(event, swan_has=SWAN)
    assert [sa["local-vips"] for sa in world.daemon.sas()] == [[HOA.encode()]]


@pytest.mark.parametrize("pfs", [None, 19])
def test_we_replace_the_child(world, load, start, pfs):
    esp = "aes128gcm16" + ("-ecp256" if pfs else "")
    load(initiator=False, esp=esp)
    driver = start(psk=PSK, pfs=pfs, selectors=[HOA, SWAN])
    first = driver.up()
    driver.command("rekey-child")
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    world.assert_same_sas(second)


@pytest.mark.parametrize("pfs", [None, 31])
def test_strongswan_replaces_the_child(world, load, start, pfs):
    esp = "aes128gcm16" + ("-curve25519" if pfs else "")
    load(initiator=True, esp=esp)
    driver = start(psk=PSK, pfs=pfs, home_address=HOA)
    world.bring_up()
    first = driver.up()
    world.daemon.session.rekey({"child": "mh"})
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    world.assert_same_sas(second)


@pytest.mark.parametrize("we_initiated", [True, False])
@pytest.mark.parametrize("by_us", [True, False])
def test_the_ike_sa_is_replaced(world, load, start, we_initiated, by_us):
    load(initiator=not we_initiated)
    if we_initiated:
        driver = start(psk=PSK, selectors=[HOA, SWAN])
    else:
        driver = start(psk=PSK, home_address=HOA)
        world.bring_up()
    child = driver.up()
    for _ in range(2):
        if by_us:
            driver.command("rekey-ike")
        else:
            world.daemon.session.rekey({"ike": "mip"})
        driver.wait_for("IkeEstablished")
        driver.wait_for("IkeDeleted")
    world.assert_same_sas(child)
    assert len(world.daemon.sas()) == 1
    # The new IKE SA works in both directions.
    driver.command("rekey-child")
    driver.up()
    wait_until(lambda: len(esp_states(world.swan)) == 2, "the old SAs are gone")
    world.daemon.session.rekey({"child": "mh"})
    world.assert_same_sas(driver.up())


def test_sas_are_replaced_by_their_lifetimes(load, start):
    load(initiator=False)
    driver = start(psk=PSK, selectors=[HOA, SWAN], esp_lifetime=3, ike_lifetime=5)
    names = set()
    for _ in range(14):
        names.add(driver.wait_for("ChildRekeyed", "IkeDeleted", "Failed")["event"])
        if names == {"ChildRekeyed", "IkeDeleted"}:
            break
    assert "Failed" not in names, driver.events


def test_our_delete_reaches_strongswan(world, load, start):
    load(initiator=False)
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    world.assert_same_sas(driver.up())
    driver.command("delete")
    driver.wait_for("ChildDeleted")
    driver.wait_for("IkeDeleted")
    wait_until(lambda: not world.daemon.sas(), "no IKE SA")
    assert esp_states(world.swan) == esp_states(world.ours) == []


def test_strongswans_delete_reaches_us(world, load, start):
    load(initiator=True)
    driver = start(psk=PSK, home_address=HOA)
    world.bring_up()
    driver.up()
    list(world.daemon.session.terminate({"ike": "mip", "timeout": "5000"}))
    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    assert driver.wait_for("IkeDeleted")["reason"] == "deleted by the peer"
    wait_until(lambda: not esp_states(world.ours), "no SA in our kernel")


def test_strongswans_delete_of_the_child_reaches_us(world, load, start):
    load(initiator=True)
    driver = start(psk=PSK, home_address=HOA)
    world.bring_up()
    driver.up()
    list(world.daemon.session.terminate({"child": "mh", "timeout": "5000"}))
    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    assert len(world.daemon.sas()) == 1


def test_cookies_and_an_invalid_ke_together(world, load, start):
    """strongSwan's first group is not ours, and we demand a cookie."""
    proposals = "aes128gcm16-prfsha256-modp2048-curve25519"
    load(initiator=True, proposals=proposals)
    driver = start(psk=PSK, home_address=HOA, cookie_threshold=0)
    world.bring_up()
    world.assert_same_sas(driver.up())
    assert "COOKIE" in world.daemon.log


def test_we_follow_an_invalid_ke(world, load, start):
    load(initiator=False)
    driver = start(psk=PSK, proposals=[[*GCM, 14], [*GCM, 31]], selectors=[HOA, SWAN])
    world.assert_same_sas(driver.up())


def test_we_initiate_with_another_psk(world, load, start):
    load(initiator=False, psk="another")
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert driver.wait_for("Failed")["reason"] == "IKE_AUTH: the peer says AUTHENTICATION_FAILED"
    assert esp_states(world.swan) == []


def test_strongswan_initiates_with_another_psk(world, load, start):
    load(initiator=True, psk="another")
    driver = start(psk=PSK, home_address=HOA)
    assert not world.initiate()
    assert "pre-shared keys probably differ" in driver.wait_for("Failed")["reason"]


def test_strongswan_refuses_our_proposals(load, start):
    load(initiator=False, proposals="aes256-sha512-ecp256")
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert "NO_PROPOSAL_CHOSEN (unauthenticated)" in driver.wait_for("Failed")["reason"]


def test_strongswan_refuses_our_esp_proposals(load, start):
    load(initiator=False, esp="aes256-sha512")
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert "NO_PROPOSAL_CHOSEN" in driver.wait_for("Failed")["reason"]


def test_we_refuse_another_home_address(world, load, start):
    load(initiator=True, home="2001:db8:100::666/128")
    driver = start(psk=PSK, home_address=HOA)
    assert not world.initiate()
    assert "2001:db8:100::666" in driver.wait_for("Failed")["reason"]
    assert esp_states(world.swan) == []


def test_strongswans_liveness_check_finds_us_alive(world, load, start):
    load(initiator=True, dpd_delay="1s")
    driver = start(psk=PSK, home_address=HOA)
    world.bring_up()
    driver.up()
    before = world.daemon.log.count("parsed INFORMATIONAL response")
    wait_until(
        lambda: world.daemon.log.count("parsed INFORMATIONAL response") > before,
        "an answer has come",
    )
    assert len(world.daemon.children()) == 1
