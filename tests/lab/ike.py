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


class Neighbours(Scene, Generic[D]):
    """Two hosts on a cable: an IKE daemon in one, our machine in the other."""

    def __init__(self, daemon: Callable[[Host], D]) -> None:
        super().__init__("swan", "ours")
        self.swan, self.ours = self.hosts
        self.trust_addresses()
        self.swan.link("s0", self.ours, "o0")
        self.swan.run(f"ip addr add {SWAN}/64 dev s0 nodad")
        self.ours.run(f"ip addr add {OURS}/64 dev o0 nodad")
        self.daemon = daemon(self.swan)
        self.folder = self.daemon.folder

    def drive(self, module: str, **spec: object) -> Driver:
        """Start our machine: a driver of this folder."""
        self.ours.run("ip xfrm state flush")
        options = json.dumps({"local": OURS, "peer": SWAN, **spec})
        driver = Driver(self.ours, f"tests.lab.{module}", options)
        self.programs.append(driver)
        driver.wait_for("Ready")
        return driver

    def assert_same_sas(self, event: dict[str, Any], swan_has: str = HOA) -> None:
        """Both kernels must hold exactly the pair that our event shows.

        A strongSwan that is assigned its address puts transport SAs on the address that it has.
        """
        ours = event["sas"]
        theirs = json.loads(json.dumps(ours).replace(HOA, swan_has))
        wait_until(
            lambda: esp_states(self.swan) == theirs and esp_states(self.ours) == ours,
            f"{ours} in {esp_states(self.swan)} and {esp_states(self.ours)}",
            5.0,
        )
        for sa in theirs if swan_has == HOA else ():
            assert (f"{sa['src']}/128", f"{sa['dst']}/128", "135") in policies(self.swan)

    def reset(self) -> None:
        """End our machines; the daemon must be alive, and forgets all."""
        while self.programs:
            self.programs.pop().close()
        self.daemon.reset()
        assert self.daemon.process.poll() is None, f"{self.daemon} has ended"

    def close(self) -> None:
        self.daemon.close()
        super().close()


class World(Neighbours[Strongswan]):
    """strongSwan and our machine."""

    def __init__(self) -> None:
        super().__init__(Strongswan)

    def load(self, *, initiator: bool, home: str, proposals: str, esp: str, **more: object) -> None:
        """Load the connection `mip` with its child `mh`; `home` is the initiator's end of it."""
        ends = (f"{home}[135]", f"{OURS if initiator else SWAN}/128[135]")
        local, remote = ends if initiator else reversed(ends)
        child = {
            "mode": "transport_proxy",
            "local_ts": [local],
            "remote_ts": [remote],
            "esp_proposals": [esp],
        }
        connection = {
            "local_addrs": [SWAN],
            "remote_addrs": [OURS],
            "mobike": "no",
            "proposals": [proposals],
            "children": {"mh": child},
            **more,
        }
        self.daemon.session.load_conn({"mip": connection})

    def initiate(self) -> bool:
        """Have strongSwan initiate; return whether the child came up."""
        return self.daemon.initiate("mip", "mh")

    def bring_up(self) -> None:
        """Have strongSwan initiate, with success."""
        assert self.initiate(), self.daemon.log[-4000:]
