"""IKEv2 against strongSwan in both directions, the SAs read from both kernels.

Needs root, a kernel with esp6 and xfrm_user, and charon-systemd.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("vici")

from agents.eap.ca import CertificateAuthority
from tests.lab.namespaces import DEADLINE, ROOT, Host
from tests.lab.strongswan import CHARON, Strongswan, esp_states, policies, wait_until

SWAN, OURS = "2001:db8:5::1", "2001:db8:5::2"
HOA = "2001:db8:100::1234"
PSK = "a pre-shared key of this test"
MN_NAME, HA_NAME = "mn@home.test", "ha.home.test"
GCM, CBC = [20, 128, 0, 5], [12, 256, 14, 7]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path(CHARON).exists(), reason="needs charon-systemd"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2"),
]


class Driver:
    """Our machine in the other host, as a process with events on its output."""

    def __init__(self, host: Host, spec: dict[str, object]) -> None:
        self.lines: queue.Queue[dict[str, object]] = queue.Queue()
        self.seen: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            host.command(sys.executable, "-m", "tests.lab.ikev2_driver", json.dumps(spec)),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.wait_for("Ready")

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def wait_for(self, *names: str) -> dict[str, object]:
        """Return the next event of one of these names."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {names}; before: {self.seen}") from None
            self.seen.append(line)
            if line["event"] in names:
                return line

    def up(self) -> dict[str, object]:
        """Return the event of the SAs that come up."""
        event = self.wait_for("ChildEstablished", "Failed")
        assert event["event"] == "ChildEstablished", self.seen
        return event

    def command(self, text: str) -> None:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        self.process.stdin.close()
        self.process.stdout.close()


class World:
    """Two hosts on a cable, strongSwan in one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.swan, self.ours = Host("swan"), Host("ours")
        self.swan.link("s0", self.ours, "o0")
        self.swan.run(f"ip addr add {SWAN}/64 dev s0 nodad")
        self.ours.run(f"ip addr add {OURS}/64 dev o0 nodad")
        for host in (self.swan, self.ours):
            wait_until(lambda h=host: "tentative" not in h.run("ip -6 addr show"), "address")
        self.daemon = Strongswan(self.swan)

    def close(self) -> None:
        self.daemon.close()
        self.swan.close()
        self.ours.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for kind in ("p256", "rsa2048"):
        place = folder / kind
        place.mkdir()
        ca = CertificateAuthority.generate(key_type=kind)
        ca.identity.write(place, "ca")
        ca.issue_client(MN_NAME).write(place, "mn")
        ca.issue_server(HA_NAME).write(place, "ha")
    made = World(folder)
    yield made
    made.close()


@pytest.fixture
def swan(world):
    yield world.daemon
    world.daemon.reset()
    assert world.daemon.process.poll() is None, "charon has ended"


@pytest.fixture
def start(world):
    drivers = []

    def run(*, kind: str = "p256", **spec: object) -> Driver:
        world.ours.run("ip xfrm state flush")
        base = {
            "local": OURS,
            "peer": SWAN,
            "proposals": [[*GCM, 31]],
            "esp": [[20, 128, 0]],
            "folder": str(world.folder / kind),
        }
        drivers.append(Driver(world.ours, base | spec))
        return drivers[-1]

    yield run
    for driver in drivers:
        driver.close()


def load(swan: Strongswan, world: World, *, initiator: bool, **more: object) -> None:
    """Load the connection `mip` with its child `mh`; HoA is the initiator's."""
    auth = more.get("auth", "psk")
    vip = more.get("vip", False)
    home = f"{more.get('home_address', HOA)}/128[135]"
    if vip and initiator:
        home = "dynamic[135]"
    agent = f"{OURS if initiator else SWAN}/128[135]"
    names = (MN_NAME, HA_NAME) if initiator else (HA_NAME, MN_NAME)
    local, remote = {"auth": "psk"}, {"auth": "psk"}
    if auth != "psk":
        place = world.folder / str(more.get("kind", "p256"))
        name = "mn" if initiator else "ha"
        pem = (place / f"{name}.pem").read_text()
        ca = (place / "ca.pem").read_text()
        eap = auth == "eap-tls"
        local = {
            "auth": "eap-tls" if eap and initiator else "pubkey",
            "id": names[0],
            "certs": [pem],
        }
        remote = {"auth": "eap-tls" if eap and not initiator else "pubkey", "id": names[1]}
        if eap and not initiator:
            remote["eap_id"] = str(more.get("eap_id", names[1]))
        swan.session.load_cert({"type": "X509", "flag": "CA", "data": ca})
        key = (place / f"{name}.key").read_text()
        swan.session.load_key({"type": "any", "data": key})
    else:
        data = str(more.get("psk", PSK))
        swan.session.load_shared({"id": "k", "type": "IKE", "data": data, "owners": [SWAN, OURS]})
    connection = {
        "version": "2",
        "local_addrs": [SWAN],
        "remote_addrs": [OURS],
        "mobike": "no",
        "proposals": [more.get("proposals", "aes128gcm16-prfsha256-curve25519")],
        "send_certreq": "yes",
        "local": local,
        "remote": remote,
        "children": {
            "mh": {
                "mode": "transport_proxy",
                "local_ts": [home if initiator else agent],
                "remote_ts": [agent if initiator else home],
                "esp_proposals": [more.get("esp", "aes128gcm16")],
            }
        },
    }
    if vip and initiator:
        connection["vips"] = ["::"]
    elif vip:
        prefix = (1800).to_bytes(4) + bytes.fromhex("20010db8010000000000000000000000") + b"\x40"
        swan.session.load_pool({"homes": {"addrs": f"{HOA}/128", "16": [prefix]}})
        connection["pools"] = ["homes"]
    if "dpd" in more:
        connection["dpd_delay"] = more["dpd"]
    swan.session.load_conn({"mip": connection})


def assert_same_sas(world: World, event: dict[str, object], swan_has: str = HOA) -> None:
    """Both kernels must hold exactly the pair that our event shows.

    A strongSwan that is assigned its address puts transport SAs on the address that it has.
    """
    theirs = json.loads(json.dumps(event["sas"]).replace(HOA, swan_has))
    wait_until(
        lambda: esp_states(world.swan) == theirs and event["sas"] == esp_states(world.ours),
        f"{event['sas']} in {esp_states(world.swan)} and {esp_states(world.ours)}",
        5.0,
    )
    for sa in theirs if swan_has == HOA else ():
        assert (f"{sa['src']}/128", f"{sa['dst']}/128", "135") in policies(world.swan)


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
def test_we_initiate_with_a_psk(world, swan, start, case):
    ike, proposals, esp, esp_proposals = case
    load(swan, world, initiator=False, proposals=proposals, esp=esp_proposals)
    driver = start(psk=PSK, proposals=[ike], esp=[esp], selectors=[HOA, SWAN])
    assert_same_sas(world, driver.up())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_strongswan_initiates_with_a_psk(world, swan, start, case):
    ike, proposals, esp, esp_proposals = case
    load(swan, world, initiator=True, proposals=proposals, esp=esp_proposals)
    driver = start(psk=PSK, proposals=[ike], esp=[esp], home_address=HOA)
    assert swan.initiate("mip", "mh"), swan.log[-4000:]
    assert_same_sas(world, driver.up())


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_we_initiate_with_a_certificate(world, swan, start, kind):
    load(swan, world, initiator=False, auth="pubkey", kind=kind)
    driver = start(
        kind=kind,
        certificate="mn",
        identity=MN_NAME,
        remote_identity=HA_NAME,
        selectors=[HOA, SWAN],
    )
    event = driver.wait_for("IkeEstablished", "Failed")
    assert (event["identity"], event["method"]) == (HA_NAME, "certificate"), swan.log[-4000:]
    assert_same_sas(world, driver.up())


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_strongswan_initiates_with_a_certificate(world, swan, start, kind):
    load(swan, world, initiator=True, auth="pubkey", kind=kind)
    driver = start(kind=kind, certificate="ha", identity=HA_NAME, home_address=HOA)
    assert swan.initiate("mip", "mh"), swan.log[-4000:]
    event = driver.wait_for("IkeEstablished")
    assert (event["identity"], event["method"]) == (MN_NAME, "certificate")
    assert_same_sas(world, driver.up())


@pytest.mark.parametrize("eap_id", [MN_NAME, "%any"])
def test_we_initiate_with_eap_tls(world, swan, start, eap_id):
    load(swan, world, initiator=False, auth="eap-tls", kind="rsa2048", eap_id=eap_id)
    driver = start(
        kind="rsa2048",
        certificate="mn",
        eap=True,
        identity=MN_NAME,
        remote_identity=HA_NAME,
        selectors=[HOA, SWAN],
    )
    event = driver.wait_for("IkeEstablished", "Failed")
    assert event.get("method") == "eap", (event, swan.log[-4000:])
    assert_same_sas(world, driver.up())


def test_strongswan_initiates_with_eap_tls(world, swan, start):
    load(swan, world, initiator=True, auth="eap-tls")
    driver = start(certificate="ha", identity=HA_NAME, accept_eap=True, home_address=HOA)
    assert swan.initiate("mip", "mh"), swan.log[-4000:]
    event = driver.wait_for("IkeEstablished")
    assert (event["identity"], event["method"]) == (MN_NAME, "eap")
    assert_same_sas(world, driver.up())


@pytest.mark.parametrize("auth", ["psk", "eap-tls"])
def test_strongswan_assigns_the_home_address(world, swan, start, auth):
    load(swan, world, initiator=False, vip=True, auth=auth, kind="rsa2048")
    spec = {"psk": PSK}
    if auth != "psk":
        spec = {"certificate": "mn", "eap": True, "identity": MN_NAME, "remote_identity": HA_NAME}
    driver = start(kind="rsa2048", selectors=[None, SWAN], **spec)
    assigned = driver.wait_for("AddressAssigned", "Failed")
    assert assigned.get("home_address") == HOA, (assigned, swan.log[-4000:])
    assert assigned["prefix"] == "2001:db8:100::/64"
    assert assigned["prefix_lifetime"] == "1800"
    assert_same_sas(world, driver.up())


@pytest.mark.parametrize("auth", ["psk", "eap-tls"])
def test_we_assign_the_home_address(world, swan, start, auth):
    load(swan, world, initiator=True, vip=True, auth=auth)
    spec = {"psk": PSK}
    if auth != "psk":
        spec = {"certificate": "ha", "identity": HA_NAME, "accept_eap": True}
    driver = start(home_address=HOA, **spec)
    assert swan.initiate("mip", "mh"), swan.log[-4000:]
    event = driver.up()
    assert {sa["src"] for sa in event["sas"]} == {HOA, OURS}
    assert_same_sas(world, event, swan_has=SWAN)
    assert [sa["local-vips"] for sa in swan.sas()] == [[HOA.encode()]]


@pytest.mark.parametrize("pfs", [None, 19])
def test_we_replace_the_child(world, swan, start, pfs):
    esp = "aes128gcm16" + ("-ecp256" if pfs else "")
    load(swan, world, initiator=False, esp=esp)
    driver = start(psk=PSK, pfs=pfs, selectors=[HOA, SWAN])
    first = driver.up()
    driver.command("rekey-child")
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    assert_same_sas(world, second)


@pytest.mark.parametrize("pfs", [None, 31])
def test_strongswan_replaces_the_child(world, swan, start, pfs):
    esp = "aes128gcm16" + ("-curve25519" if pfs else "")
    load(swan, world, initiator=True, esp=esp)
    driver = start(psk=PSK, pfs=pfs, home_address=HOA)
    assert swan.initiate("mip", "mh"), swan.log[-4000:]
    first = driver.up()
    swan.session.rekey({"child": "mh"})
    second = driver.up()
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    assert_same_sas(world, second)


@pytest.mark.parametrize("we_initiated", [True, False])
@pytest.mark.parametrize("by_us", [True, False])
def test_the_ike_sa_is_replaced(world, swan, start, we_initiated, by_us):
    load(swan, world, initiator=not we_initiated)
    if we_initiated:
        driver = start(psk=PSK, selectors=[HOA, SWAN])
    else:
        driver = start(psk=PSK, home_address=HOA)
        assert swan.initiate("mip", "mh"), swan.log[-4000:]
    child = driver.up()
    for _ in range(2):
        if by_us:
            driver.command("rekey-ike")
        else:
            swan.session.rekey({"ike": "mip"})
        driver.wait_for("IkeEstablished")
        driver.wait_for("IkeDeleted")
    assert_same_sas(world, child)
    assert len(swan.sas()) == 1
    # The new IKE SA works in both directions.
    driver.command("rekey-child")
    driver.up()
    wait_until(lambda: len(esp_states(world.swan)) == 2, "the old SAs are gone")
    swan.session.rekey({"child": "mh"})
    assert_same_sas(world, driver.up())


def test_sas_are_replaced_by_their_lifetimes(world, swan, start):
    load(swan, world, initiator=False)
    driver = start(psk=PSK, selectors=[HOA, SWAN], esp_lifetime=3, ike_lifetime=5)
    names = set()
    for _ in range(14):
        names.add(driver.wait_for("ChildRekeyed", "IkeDeleted", "Failed")["event"])
        if names == {"ChildRekeyed", "IkeDeleted"}:
            break
    assert "Failed" not in names, driver.seen


def test_our_delete_reaches_strongswan(world, swan, start):
    load(swan, world, initiator=False)
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert_same_sas(world, driver.up())
    driver.command("delete")
    driver.wait_for("ChildDeleted")
    driver.wait_for("IkeDeleted")
    wait_until(lambda: not swan.sas(), "no IKE SA")
    assert esp_states(world.swan) == esp_states(world.ours) == []


def test_strongswans_delete_reaches_us(world, swan, start):
    load(swan, world, initiator=True)
    driver = start(psk=PSK, home_address=HOA)
    assert swan.initiate("mip", "mh")
    driver.up()
    list(swan.session.terminate({"ike": "mip", "timeout": "5000"}))
    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    assert driver.wait_for("IkeDeleted")["reason"] == "deleted by the peer"
    wait_until(lambda: not esp_states(world.ours), "no SA in our kernel")


def test_strongswans_delete_of_the_child_reaches_us(world, swan, start):
    load(swan, world, initiator=True)
    driver = start(psk=PSK, home_address=HOA)
    assert swan.initiate("mip", "mh")
    driver.up()
    list(swan.session.terminate({"child": "mh", "timeout": "5000"}))
    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    assert len(swan.sas()) == 1


def test_cookies_and_an_invalid_ke_together(world, swan, start):
    """strongSwan's first group is not ours, and we demand a cookie."""
    proposals = "aes128gcm16-prfsha256-modp2048-curve25519"
    load(swan, world, initiator=True, proposals=proposals)
    driver = start(psk=PSK, home_address=HOA, cookie_threshold=0)
    assert swan.initiate("mip", "mh"), swan.log[-4000:]
    assert_same_sas(world, driver.up())
    assert "COOKIE" in swan.log


def test_we_follow_an_invalid_ke(world, swan, start):
    load(swan, world, initiator=False)
    driver = start(psk=PSK, proposals=[[*GCM, 14], [*GCM, 31]], selectors=[HOA, SWAN])
    assert_same_sas(world, driver.up())


def test_we_initiate_with_another_psk(world, swan, start):
    load(swan, world, initiator=False, psk="another")
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert driver.wait_for("Failed")["reason"] == "IKE_AUTH: the peer says AUTHENTICATION_FAILED"
    assert esp_states(world.swan) == []


def test_strongswan_initiates_with_another_psk(world, swan, start):
    load(swan, world, initiator=True, psk="another")
    driver = start(psk=PSK, home_address=HOA)
    assert not swan.initiate("mip", "mh")
    assert "pre-shared keys probably differ" in driver.wait_for("Failed")["reason"]


def test_strongswan_refuses_our_proposals(world, swan, start):
    load(swan, world, initiator=False, proposals="aes256-sha512-ecp256")
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert "NO_PROPOSAL_CHOSEN (unauthenticated)" in driver.wait_for("Failed")["reason"]


def test_strongswan_refuses_our_esp_proposals(world, swan, start):
    load(swan, world, initiator=False, esp="aes256-sha512")
    driver = start(psk=PSK, selectors=[HOA, SWAN])
    assert "NO_PROPOSAL_CHOSEN" in driver.wait_for("Failed")["reason"]


def test_we_refuse_another_home_address(world, swan, start):
    load(swan, world, initiator=True, home_address="2001:db8:100::666")
    driver = start(psk=PSK, home_address=HOA)
    assert not swan.initiate("mip", "mh")
    assert "2001:db8:100::666" in driver.wait_for("Failed")["reason"]
    assert esp_states(world.swan) == []


def test_strongswans_liveness_check_finds_us_alive(world, swan, start):
    load(swan, world, initiator=True, dpd="1s")
    driver = start(psk=PSK, home_address=HOA)
    assert swan.initiate("mip", "mh")
    driver.up()
    before = swan.log.count("parsed INFORMATIONAL response")
    wait_until(
        lambda: swan.log.count("parsed INFORMATIONAL response") > before, "an answer has come"
    )
    assert len(swan.children()) == 1
