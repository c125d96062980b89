"""IKEv1 against strongSwan in both directions: main and aggressive mode, keys read from the kernel.

Needs root, a kernel with esp6 and xfrm_user, and charon-systemd.
"""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

vici = pytest.importorskip("vici")

CHARON = "/usr/sbin/charon-systemd"
ROOT = Path(__file__).parents[2]
SWAN, OURS = "2001:db8:5::1", "2001:db8:5::2"
HOA = "2001:db8:100::1234"
DEADLINE = 20.0
PSK = "a pre-shared key of this test"
SETTINGS = """
charon-systemd {{
  load = random nonce openssl sha1 sha2 aes hmac kdf kernel-netlink socket-default vici gmp
  install_routes = no
  install_virtual_ip = no
  retransmit_timeout = 1.0
  retransmit_tries = 2
  delete_rekeyed = yes
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  filelog {{
    log {{
      path = {folder}/charon.log
      default = 1
      ike = 2
      cfg = 2
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{folder}/vici
    }}
  }}
}}
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path(CHARON).exists(), reason="needs charon-systemd"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2"),
]


def ip(*arguments: str) -> str:
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def wait_until(condition, what: str, deadline: float = DEADLINE):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {deadline} s")


class Strongswan:
    """charon-systemd in a namespace, driven by vici."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        settings = folder / "strongswan.conf"
        settings.write_text(SETTINGS.format(folder=folder))
        self.output = (folder / "output").open("wb")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, CHARON],
            env=os.environ | {"STRONGSWAN_CONF": str(settings)},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        self.socket = wait_until(self._connect, "vici")
        self.session = vici.Session(self.socket)

    def _connect(self) -> socket.socket | None:
        assert self.process.poll() is None, (self.folder / "output").read_text()
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(DEADLINE)
        try:
            s.connect(str(self.folder / "vici"))
        except OSError:
            s.close()
            return None
        return s

    def load(
        self,
        *,
        initiator: bool,
        proposals: str,
        esp: str,
        aggressive: bool,
        psk: str = PSK,
        local_id: str | None = None,
        remote_id: str | None = None,
        dpd: str | None = None,
        home_address: str = HOA,
    ) -> None:
        """Load the connection `mip` with its child `mh`; HoA is the initiator's."""
        ends = (f"{home_address}/128[135]", f"{SWAN if not initiator else OURS}/128[135]")
        local_ts, remote_ts = ends if initiator else reversed(ends)
        local: dict[str, str] = {"auth": "psk"}
        remote: dict[str, str] = {"auth": "psk"}
        if local_id:
            local["id"] = local_id
        if remote_id:
            remote["id"] = remote_id
        connection = {
            "version": "1",
            "aggressive": "yes" if aggressive else "no",
            "local_addrs": [SWAN],
            "remote_addrs": [OURS],
            "mobike": "no",
            "proposals": [proposals],
            "local": local,
            "remote": remote,
            "children": {
                "mh": {
                    "mode": "transport_proxy",
                    "local_ts": [local_ts],
                    "remote_ts": [remote_ts],
                    "esp_proposals": [esp],
                }
            },
        }
        if dpd:
            connection["dpd_delay"] = dpd
        self.session.load_conn({"mip": connection})
        owners = [local_id or SWAN, remote_id or OURS]
        self.session.load_shared({"id": "k", "type": "IKE", "data": psk, "owners": owners})

    def initiate(self) -> bool:
        """Initiate the child; return whether it came up."""
        try:
            list(self.session.initiate({"child": "mh", "ike": "mip", "timeout": "12000"}))
        except vici.exception.CommandException:
            return False
        return True

    def established(self) -> bool:
        return any(
            child["state"] == b"INSTALLED"
            for sas in self.session.list_sas({"ike": "mip"})
            for sa in sas.values()
            for child in sa["child-sas"].values()
        )

    def states(self) -> list[dict[str, object]]:
        """Return the kernel's ESP SAs of this namespace."""
        found = []
        for block in re.split(r"^(?=src )", ip("-n", self.namespace, "xfrm", "state"), flags=re.M):
            if "proto esp" not in block:
                continue
            ends = re.match(r"src (\S+) dst (\S+)", block)
            auth = re.search(r"auth-trunc (\S+) 0x(\w+) (\d+)", block)
            if auth is None:  # A larval SA, while an SPI is reserved.
                continue
            found.append(
                {
                    "src": ends[1],
                    "dst": ends[2],
                    "spi": int(re.search(r"spi 0x(\w+)", block)[1], 16),
                    "enc": re.search(r"enc cbc\(aes\) 0x(\w+)", block)[1],
                    "auth": auth[2],
                    "integrity": auth[1],
                    "bits": int(auth[3]),
                    "mode": re.search(r"mode (\w+)", block)[1],
                }
            )
        return found

    def policies(self) -> list[tuple[str, ...]]:
        """Return source, destination and protocol of the kernel's IPsec policies."""
        text = ip("-n", self.namespace, "xfrm", "policy")
        # What number 135 is called depends on /etc/protocols.
        text = text.replace("proto mobility-header", "proto 135")
        return [m.groups() for m in re.finditer(r"src (\S+) dst (\S+) proto (\S+)", text)]

    def reset(self) -> None:
        """Drop connections, SAs and secrets."""
        for sas in list(self.session.list_sas()):
            for name in sas:
                list(self.session.terminate({"ike": name, "force": "yes", "timeout": "2000"}))
        for name in list(self.session.get_conns()["conns"]):
            self.session.unload_conn({"name": name})
        self.session.clear_creds()

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
        self.output.close()


class Driver:
    """Our machine in the other namespace, as a process with events on its output."""

    def __init__(self, namespace: str, spec: dict[str, object]) -> None:
        self.lines: queue.Queue[dict[str, object]] = queue.Queue()
        self.seen: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            [
                *("ip", "netns", "exec", namespace),
                *(sys.executable, "-m", "tests.lab.ikev1_driver", json.dumps(spec)),
            ],
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


@pytest.fixture(scope="module")
def namespaces():
    tag = secrets.token_hex(3)
    swan, ours = f"ike{tag}s", f"ike{tag}o"
    made = []
    try:
        for name in (swan, ours):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ends = ("netns", swan, "type", "veth", "peer", f"v{tag}o", "netns", ours)
        ip("link", "add", f"v{tag}s", *ends)
        for name, end, address in ((swan, "s", SWAN), (ours, "o", OURS)):
            ip("-n", name, "addr", "add", f"{address}/64", "dev", f"v{tag}{end}", "nodad")
            ip("-n", name, "link", "set", f"v{tag}{end}", "up")
        for name in (swan, ours):
            wait_until(
                lambda n=name: "tentative" not in ip("-n", n, "-6", "addr", "show"), "address"
            )
        key, auth = "0x" + 32 * "0", "0x" + 64 * "0"
        probe = subprocess.run(
            [
                *("ip", "-n", swan, "xfrm", "state", "add", "src", SWAN, "dst", OURS),
                *("proto", "esp", "spi", "0x1000", "mode", "transport", "enc", "cbc(aes)", key),
                *("auth-trunc", "hmac(sha256)", auth, "128"),
            ],
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        if probe.returncode:
            pytest.skip("the kernel has no esp6")
        ip("-n", swan, "xfrm", "state", "flush")
        yield swan, ours
    finally:
        for name in made:
            ip("netns", "del", name)


@pytest.fixture(scope="module")
def daemon(namespaces):
    folder = Path(tempfile.mkdtemp(prefix="ikev1-", dir="/run"))
    strongswan = None
    try:
        strongswan = Strongswan(namespaces[0], folder)
        yield strongswan
    finally:
        if strongswan is not None:
            strongswan.close()
        shutil.rmtree(folder)


@pytest.fixture
def strongswan(daemon):
    yield daemon
    daemon.reset()
    assert daemon.process.poll() is None, "charon has ended"


@pytest.fixture
def start(namespaces):
    drivers = []

    def run(**spec: object) -> Driver:
        base = {"local": OURS, "peer": SWAN, "psk": PSK, "proposals": [[128, 4, 14]]}
        drivers.append(Driver(namespaces[1], base | spec))
        return drivers[-1]

    yield run
    for driver in drivers:
        driver.close()


def assert_same_sas(strongswan: Strongswan, event: dict[str, object]) -> None:
    """strongSwan's kernel must hold exactly the pair that our event shows."""
    ours = {sa["spi"]: sa for sa in event["sas"]}
    states = strongswan.states()
    assert {s["spi"] for s in states} == set(ours)
    for state in states:
        sa = ours[state["spi"]]
        for field in ("src", "dst", "enc", "auth", "integrity", "bits"):
            assert state[field] == sa[field], field
        assert sa["proto"] == 135
        assert state["mode"] == "transport"
        assert (f"{sa['src']}/128", f"{sa['dst']}/128", "135") in strongswan.policies()


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
def test_we_initiate(strongswan, start, case):
    mode, proposal, ike, pfs, esp = case
    strongswan.load(initiator=False, proposals=ike, esp=esp, aggressive=mode == "aggressive")

    driver = start(mode=mode, proposals=[proposal], pfs=pfs, selectors=[HOA, SWAN])

    event = driver.wait_for("ChildEstablished", "Failed")
    assert event["event"] == "ChildEstablished", driver.seen
    wait_until(strongswan.established, "strongSwan has the SAs")
    assert_same_sas(strongswan, event)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_strongswan_initiates(strongswan, start, case):
    mode, proposal, ike, pfs, esp = case
    strongswan.load(initiator=True, proposals=ike, esp=esp, aggressive=mode == "aggressive")
    driver = start(proposals=[proposal], pfs=pfs, home_address=HOA)

    assert strongswan.initiate(), (strongswan.folder / "charon.log").read_text()[-4000:]

    keyed = driver.wait_for("ChildKeyed", "Failed")
    assert keyed["event"] == "ChildKeyed", driver.seen
    event = driver.wait_for("ChildEstablished", "ChildAbandoned")
    assert event["sas"] == keyed["sas"]
    assert_same_sas(strongswan, event)


@pytest.mark.parametrize("identity", ["mn@example.org", HOA])
def test_we_initiate_aggressive_mode_by_identity(strongswan, start, identity):
    strongswan.load(
        initiator=False,
        proposals="aes128-sha256-ecp256",
        esp="aes128-sha256",
        aggressive=True,
        remote_id=identity,
    )

    driver = start(
        mode="aggressive",
        identity=identity,
        proposals=[[128, 4, 19]],
        selectors=[HOA, SWAN],
    )

    assert_same_sas_after(strongswan, driver.wait_for("ChildEstablished", "Failed"))


def assert_same_sas_after(strongswan: Strongswan, event: dict[str, object]) -> None:
    assert event["event"] == "ChildEstablished", event
    wait_until(strongswan.established, "strongSwan has the SAs")
    assert_same_sas(strongswan, event)


def test_strongswan_initiates_aggressive_mode_by_identity(strongswan, start):
    strongswan.load(
        initiator=True,
        proposals="aes128-sha256-ecp256",
        esp="aes128-sha256",
        aggressive=True,
        local_id="mn@example.org",
    )
    driver = start(
        proposals=[[128, 4, 19]],
        home_address=HOA,
        by_address=False,
        peer_identity="mn@example.org",
    )

    assert strongswan.initiate()

    assert driver.wait_for("Phase1Established")["identity"] == "mn@example.org"
    assert_same_sas_after(strongswan, driver.wait_for("ChildEstablished", "ChildAbandoned"))


def test_our_delete_reaches_strongswan(strongswan, start):
    strongswan.load(
        initiator=False, proposals="aes128-sha256-modp2048", esp="aes128-sha256", aggressive=False
    )
    driver = start(selectors=[HOA, SWAN])
    driver.wait_for("ChildEstablished")
    wait_until(strongswan.established, "strongSwan has the SAs")

    driver.command("delete")

    driver.wait_for("ChildDeleted")
    driver.wait_for("Phase1Deleted")
    wait_until(lambda: not strongswan.states(), "strongSwan has deleted the SAs")
    wait_until(lambda: not list(strongswan.session.list_sas()), "no ISAKMP SA")


def test_strongswans_delete_reaches_us(strongswan, start):
    strongswan.load(
        initiator=True, proposals="aes128-sha256-modp2048", esp="aes128-sha256", aggressive=False
    )
    driver = start(home_address=HOA)
    assert strongswan.initiate()
    driver.wait_for("ChildEstablished")

    list(strongswan.session.terminate({"ike": "mip", "timeout": "5000"}))

    assert driver.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    assert driver.wait_for("Phase1Deleted")["reason"] == "deleted by the peer"


@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_we_initiate_with_another_psk(strongswan, start, mode):
    strongswan.load(
        initiator=False,
        proposals="aes128-sha256-modp2048",
        esp="aes128-sha256",
        aggressive=mode == "aggressive",
        psk="another",
    )
    driver = start(mode=mode, selectors=[HOA, SWAN])
    assert "pre-shared keys" in driver.wait_for("Failed")["reason"]
    assert strongswan.states() == []


@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_strongswan_initiates_with_another_psk(strongswan, start, mode):
    strongswan.load(
        initiator=True,
        proposals="aes128-sha256-modp2048",
        esp="aes128-sha256",
        aggressive=mode == "aggressive",
        psk="another",
    )
    driver = start(home_address=HOA)
    assert not strongswan.initiate()
    reason = driver.wait_for("Failed")["reason"]
    if mode == "main":
        assert "pre-shared keys probably differ" in reason
    else:  # strongSwan has seen the wrong hash first, and sends no message 3.
        assert "message 3 never came" in reason
    assert strongswan.states() == []


def test_strongswan_refuses_our_phase_1_proposal(strongswan, start):
    strongswan.load(
        initiator=False, proposals="aes256-sha256-ecp256", esp="aes128-sha256", aggressive=False
    )
    driver = start(selectors=[HOA, SWAN])
    assert "NO-PROPOSAL-CHOSEN (unauthenticated)" in driver.wait_for("Failed")["reason"]


def test_strongswan_refuses_our_esp_proposal(strongswan, start):
    strongswan.load(
        initiator=False, proposals="aes128-sha256-modp2048", esp="aes256-sha512", aggressive=False
    )
    driver = start(selectors=[HOA, SWAN])
    assert "NO-PROPOSAL-CHOSEN" in driver.wait_for("Failed")["reason"]


def test_we_refuse_strongswans_proposals(strongswan, start):
    strongswan.load(
        initiator=True, proposals="aes256-sha256-ecp256", esp="aes128-sha256", aggressive=False
    )
    driver = start(home_address=HOA)
    assert not strongswan.initiate()
    assert "none of the peer's phase 1 proposals" in driver.wait_for("Failed")["reason"]


def test_we_refuse_another_home_address(strongswan, start):
    strongswan.load(
        initiator=True,
        proposals="aes128-sha256-modp2048",
        esp="aes128-sha256",
        aggressive=False,
        home_address="2001:db8:100::666",
    )
    driver = start(home_address=HOA)
    assert not strongswan.initiate()
    assert "2001:db8:100::666" in driver.wait_for("Failed")["reason"]
    assert strongswan.states() == []


def test_strongswan_takes_our_rekeying(strongswan, start):
    strongswan.load(
        initiator=False, proposals="aes128-sha256-modp2048", esp="aes128-sha256", aggressive=False
    )
    driver = start(selectors=[HOA, SWAN], esp_lifetime=6)
    first = driver.wait_for("ChildEstablished")
    second = driver.wait_for("ChildEstablished", "Failed")
    assert second["event"] == "ChildEstablished", driver.seen
    assert driver.wait_for("ChildDeleted")["sas"] == first["sas"]
    wait_until(lambda: len(strongswan.states()) == 2, "the old SAs are gone")
    assert_same_sas(strongswan, second)


def test_strongswans_dead_peer_detection_finds_us_alive(strongswan, start):
    strongswan.load(
        initiator=True,
        proposals="aes128-sha256-modp2048",
        esp="aes128-sha256",
        aggressive=False,
        dpd="1s",
    )
    driver = start(home_address=HOA)
    assert strongswan.initiate()
    driver.wait_for("ChildEstablished")
    log = strongswan.folder / "charon.log"
    wait_until(lambda: "DPD_ACK" in log.read_text(), "an R-U-THERE-ACK has come")
    assert strongswan.established()


def test_strongswans_rekeying_of_the_child(strongswan, start):
    strongswan.load(
        initiator=True, proposals="aes128-sha256-modp2048", esp="aes128-sha256", aggressive=False
    )
    driver = start(home_address=HOA)
    assert strongswan.initiate()
    driver.wait_for("ChildEstablished")

    strongswan.session.rekey({"child": "mh"})

    second = driver.wait_for("ChildEstablished", "Failed", "ChildAbandoned")
    assert second["event"] == "ChildEstablished", driver.seen
    driver.wait_for("ChildDeleted")
    wait_until(lambda: len(strongswan.states()) == 2, "the old SAs are gone")
    assert_same_sas(strongswan, second)
