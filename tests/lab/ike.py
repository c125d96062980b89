"""An IKE daemon and our IKE machine as neighbours: hosts, connection, and SAs in both kernels."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest

from tests.lab.namespaces import Host, Program, Scene, wait_until
from tests.lab.needs import needs
from tests.lab.strongswan import CHARON, Strongswan

SWAN, OURS = "2001:db8:5::1", "2001:db8:5::2"
HOA = "2001:db8:100::1234"
MN_NAME, HA_NAME = "mn@home.test", "ha.home.test"
PSK = "a pre-shared key of this test"
NEEDS = [
    needs("esp6", "xfrm_user", "ip"),
    pytest.mark.skipif(not Path(CHARON).exists(), reason="needs charon-systemd"),
]


def esp_states(host: Host) -> list[dict[str, Any]]:
    """Return the kernel's ESP SAs that are complete."""
    found = []
    for block in re.split(r"^(?=src )", host.run("ip xfrm state"), flags=re.MULTILINE):
        ends = re.match(r"src (\S+) dst (\S+)", block)
        auth = re.search(r"auth-trunc (\S+) 0x(\w+) (\d+)", block)
        enc = re.search(r"enc (\S+) 0x(\w+)", block)
        aead = re.search(r"aead (\S+) 0x(\w+) (\d+)", block)
        if "proto esp" not in block or not ends or not (aead or (enc and auth)):
            continue
        cipher = (aead or enc).groups()
        found.append(
            {
                "src": ends[1],
                "dst": ends[2],
                "spi": int(re.search(r"spi 0x(\w+)", block)[1], 16),
                "cipher": cipher[0],
                "key": cipher[1],
                "integrity": auth[1] if auth else "",
                "integrity_key": auth[2] if auth else "",
                "bits": int(auth[3]) if auth else 0,
                "mode": re.search(r"mode (\w+)", block)[1],
            }
        )
    return sorted(found, key=lambda sa: sa["spi"])


def policies(host: Host) -> set[tuple[str, ...]]:
    """Return source, destination and protocol of the kernel's IPsec policies."""
    # What number 135 is called depends on /etc/protocols.
    text = host.run("ip xfrm policy").replace("proto mobility-header", "proto 135")
    return {m.groups() for m in re.finditer(r"src (\S+) dst (\S+) proto (\S+)", text)}


class Daemon(Protocol):
    """An IKE daemon in a host; its logs are in the folder."""

    folder: Path
    process: subprocess.Popen[bytes]

    def reset(self) -> None:
        """Drop connections and SAs."""

    def close(self) -> None:
        """End it."""


D = TypeVar("D", bound=Daemon)


class Driver(Program):
    """Our machine in a host."""

    def up(self) -> dict[str, Any]:
        """Return the event of the SAs that come up."""
        event = self.wait_for("ChildEstablished", "ChildAbandoned", "Failed")
        assert event["event"] == "ChildEstablished", self.events
        return event


class Cable(Scene):
    """Two hosts, `swan` and `ours`; a home address is that of `ours`."""

    def __init__(self) -> None:
        super().__init__("swan", "ours")
        self.swan, self.ours = self.hosts
        self.trust_addresses()
        self.swan.link("s0", self.ours, "o0")
        self.swan.run(f"ip addr add {SWAN}/64 dev s0 nodad")
        self.ours.run(f"ip addr add {OURS}/64 dev o0 nodad")

    def drive(self, module: str, *, at_swan: bool = False, **spec: object) -> Driver:
        """Start a machine of ours: a driver of this folder."""
        host, *ends = (self.swan, SWAN, OURS) if at_swan else (self.ours, OURS, SWAN)
        host.run("ip xfrm state flush")
        options = json.dumps({"local": ends[0], "peer": ends[1], **spec})
        driver = Driver(host, f"tests.lab.{module}", options)
        self.programs.append(driver)
        driver.wait_for("Ready")
        return driver

    def assert_same_sas(self, event: dict[str, Any], swan_has: str = HOA) -> None:
        """Both kernels must hold exactly the pair that our event shows.

        Some daemons put transport SAs on other addresses than they are for: `swan_has` in place of
        the home address.
        """
        ours = event["sas"]
        theirs = json.loads(json.dumps(ours).replace(HOA, swan_has))
        wait_until(
            lambda: esp_states(self.swan) == theirs and esp_states(self.ours) == ours,
            f"{ours} in {esp_states(self.swan)} and {esp_states(self.ours)}",
            5.0,
        )

    def reset(self) -> None:
        """End our machines."""
        while self.programs:
            self.programs.pop().close()


class Neighbours(Cable, Generic[D]):
    """An IKE daemon at `swan`, our machine at `ours`."""

    def __init__(self, daemon: Callable[[Host], D]) -> None:
        super().__init__()
        self.daemon = daemon(self.swan)
        self.folder = self.daemon.folder

    def assert_same_sas(self, event: dict[str, Any], swan_has: str = HOA) -> None:
        """Both kernels must hold exactly that pair, and the daemon's the policies."""
        super().assert_same_sas(event, swan_has)
        for sa in event["sas"] if swan_has == HOA else ():
            assert (f"{sa['src']}/128", f"{sa['dst']}/128", "135") in policies(self.swan)

    def reset(self) -> None:
        """End our machines; the daemon must be alive, and forgets all."""
        super().reset()
        self.daemon.reset()
        assert self.daemon.process.poll() is None, f"{self.daemon} has ended"

    def close(self) -> None:
        self.daemon.close()
        super().close()


def connection(
    local: str,
    remote: str,
    /,
    *,
    initiator: bool,
    home: str,
    proposals: str,
    esp: str,
    **more: object,
) -> dict[str, Any]:
    """Return strongSwan's connection with its child `mh`; `home` is the initiator's end of it."""
    ends = (f"{home}[135]", f"{remote if initiator else local}/128[135]")
    own, other = ends if initiator else reversed(ends)
    child = {
        "mode": "transport_proxy",
        "local_ts": [own],
        "remote_ts": [other],
        "esp_proposals": [esp],
    }
    return {
        "local_addrs": [local],
        "remote_addrs": [remote],
        "mobike": "no",
        "proposals": [proposals],
        "children": {"mh": child},
        **more,
    }


def certified(swan: Strongswan, place: Path, auth: str, *, initiator: bool) -> tuple[dict, dict]:
    """Load certificate and key of strongSwan's end; return the authentication of both ends."""
    name = "mn" if initiator else "ha"
    ca, certificate, key = (
        (place / file).read_text() for file in ("ca.pem", f"{name}.pem", f"{name}.key")
    )
    swan.session.load_cert({"type": "X509", "flag": "CA", "data": ca})
    swan.session.load_key({"type": "any", "data": key})
    node, agent = {"auth": auth, "id": MN_NAME}, {"auth": "pubkey", "id": HA_NAME}
    local, remote = (node, agent) if initiator else (agent, node)
    return {**local, "certs": [certificate]}, remote


class World(Neighbours[Strongswan]):
    """strongSwan and our machine."""

    def __init__(self) -> None:
        super().__init__(Strongswan)

    def load(self, **what: Any) -> None:
        """Load the connection `mip`, as connection() takes it."""
        self.daemon.session.load_conn({"mip": connection(SWAN, OURS, **what)})

    def initiate(self) -> bool:
        """Have strongSwan initiate; return whether the child came up."""
        return self.daemon.initiate("mip", "mh")

    def bring_up(self) -> None:
        """Have strongSwan initiate, with success."""
        assert self.initiate(), self.daemon.log[-4000:]
