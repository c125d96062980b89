"""IKE between two hosts of the same kind: two of strongSwan's charon, or two of our daemon."""

from __future__ import annotations

import json
import os
import select
import time
from contextlib import ExitStack
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any, Protocol

from testbed.run.capture import Capture
from testbed.run.events import LEAST_PRIORITY
from testbed.run.net import Network, network
from testbed.run.probe import measure
from testbed.run.programs import Forked
from testbed.trace.frames import read_frames
from tests.lab.namespaces import DEADLINE, wait_until
from tests.lab.peers.timing import negotiations
from tests.lab.strongswan import Strongswan
from topologies.model import Host, HostRole, Interface, Link, Topology

NODE, AGENT = "node", "agent"
HOME = IPv6Address("2001:db8:100::1234")
PSK = "a pre-shared key of both"
TOPOLOGY = Topology(
    "peers",
    (Host(NODE, HostRole.MOBILE_NODE), Host(AGENT, HostRole.HOME_NETWORK)),
    (
        Link(
            "cable",
            (
                Interface(NODE, (IPv6Interface("2001:db8:5::1/64"),)),
                Interface(AGENT, (IPv6Interface("2001:db8:5::2/64"),)),
            ),
        ),
    ),
)
NODE_ADDRESS, AGENT_ADDRESS = (str(end.address) for end in TOPOLOGY.links[0].ends)
_REST = 0.2  # Seconds before each negotiation, for what the one before has left to do.

# Debian's plugins and log levels; no log is kept, for the lab has no journal.
STRONGSWAN = """
charon-systemd {{
  load_modular = yes
  install_routes = no
  install_virtual_ip = no
  plugins {{
    include /etc/strongswan.d/charon/*.conf
    vici {{
      socket = unix://{folder}/vici
    }}
  }}
}}
"""
# What our settings propose, in their order.
PROPOSALS = {
    1: (["aes128-sha256-modp2048"], ["aes128-sha256"]),
    2: (
        [
            "aes128gcm16-prfsha256-curve25519",
            "aes256gcm16-prfsha384-curve25519",
            "aes128-sha256-curve25519",
            "aes256-sha512-curve25519",
        ],
        ["aes128gcm16", "aes256gcm16", "aes128-sha256", "aes256-sha512"],
    ),
}


class Pair(Protocol):
    """Two daemons that are ready."""

    def negotiate(self) -> None:
        """Make SAs; both have them when this returns."""

    def delete(self) -> None:
        """Delete them; both have none when this returns."""

    def close(self) -> None:
        """End both."""


class StrongswanPair:
    """charon in both hosts."""

    def __init__(self, net: Network, version: int, _folder: Path) -> None:
        self._ends = [Strongswan(net.mininet[name], STRONGSWAN) for name in (NODE, AGENT)]
        home, agent = f"{HOME}/128[135]", f"{AGENT_ADDRESS}/128[135]"
        self._load(self._ends[0], version, (NODE_ADDRESS, AGENT_ADDRESS), (home, agent))
        self._load(self._ends[1], version, (AGENT_ADDRESS, NODE_ADDRESS), (agent, home))

    @staticmethod
    def _load(
        daemon: Strongswan, version: int, ends: tuple[str, str], selectors: tuple[str, str]
    ) -> None:
        ike, esp = PROPOSALS[version]
        daemon.load_psk(PSK, *ends)
        child = {
            "mode": "transport_proxy",
            "local_ts": [selectors[0]],
            "remote_ts": [selectors[1]],
            "esp_proposals": esp,
        }
        connection = {
            "version": str(version),
            "local_addrs": [ends[0]],
            "remote_addrs": [ends[1]],
            "mobike": "no",
            "proposals": ike,
            "local": {"auth": "psk"},
            "remote": {"auth": "psk"},
            "children": {"mh": child},
        }
        daemon.session.load_conn({"mip": connection})

    def negotiate(self) -> None:
        assert self._ends[0].initiate("mip", "mh")
        wait_until(lambda: all(len(end.children()) == 1 for end in self._ends), "both have SAs")

    def delete(self) -> None:
        list(self._ends[0].session.terminate({"ike": "mip", "loglevel": "-1"}))
        wait_until(lambda: not any(end.sas() for end in self._ends), "both have none")

    def close(self) -> None:
        for end in self._ends:
            end.close()


class OurPair:
    """Our daemon in both hosts, forked from this process as a run's programs are."""

    def __init__(self, net: Network, version: int, folder: Path) -> None:
        self._output, writer = os.pipe()
        self._rest = b""
        self._folder = folder
        self._programs = []
        ends = {NODE: (NODE_ADDRESS, AGENT_ADDRESS), AGENT: (AGENT_ADDRESS, NODE_ADDRESS)}
        for name, (local, peer) in ends.items():
            configuration = {"host": name, "version": version, "local": local, "peer": peer}
            path = folder / f"{name}.json"
            path.write_text(json.dumps({**configuration, "home_address": str(HOME), "psk": PSK}))
            module, log = "tests.lab.peers.ike_program", folder / f"{name}.log"
            self._programs.append(Forked(net, name, module, str(path), writer, log))
        os.close(writer)
        for program in self._programs:
            program.wait_until_populated()
            program.go()
        self._wait_for_both("Ready")

    def _wait_for_both(self, name: str) -> None:
        """Wait until both have told of an event."""
        missing, deadline = {NODE, AGENT}, time.monotonic() + DEADLINE
        while missing:
            for event in self._events(deadline):
                if event["event"] == name:
                    missing.discard(event["host"])

    def _events(self, deadline: float) -> list[dict[str, Any]]:
        left = deadline - time.monotonic()
        readable = left > 0 and select.select([self._output], [], [], left)[0]
        data = os.read(self._output, 1 << 16) if readable else b""
        assert data, [path.read_text() for path in self._folder.glob("*.log")]
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _command(self, word: str) -> None:
        stdin = self._programs[0].stdin
        assert stdin
        stdin.write(word.encode() + b"\n")
        stdin.flush()

    def negotiate(self) -> None:
        self._command("initiate")
        self._wait_for_both("ChildEstablished")

    def delete(self) -> None:
        self._command("delete")
        self._wait_for_both("ChildDeleted")

    def close(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait()
        os.close(self._output)


PAIRS = {"strongSwan": StrongswanPair, "ours": OurPair}


def session(side: str, version: int, number: int, folder: Path) -> list[float]:
    """Return what negotiations took, one after the other, from the start of two new daemons."""
    with ExitStack() as stack:
        net = stack.enter_context(network(TOPOLOGY))
        pair: Pair = PAIRS[side](net, version, folder)
        stack.callback(pair.close)
        measure(net, TOPOLOGY.links[0])  # Both know each other's link-layer address from now on.
        os.setpriority(os.PRIO_PROCESS, 0, LEAST_PRIORITY)  # We have only to look on.
        capture = Capture(net, NODE)
        for _ in range(number):
            time.sleep(_REST)
            pair.negotiate()
            pair.delete()
        assert capture.stop() == 0, "the capture has gaps"
        capture.write(folder / "cable.pcapng")
    found = negotiations(read_frames(folder / "cable.pcapng"), version)
    assert len(found) == number, f"{len(found)} of {number} negotiations were captured"
    return found
