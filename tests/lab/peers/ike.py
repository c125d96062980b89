"""IKE between two hosts of the same kind: two of strongSwan's charon, or two of our daemon."""

from __future__ import annotations

import time
from contextlib import ExitStack
from ipaddress import IPv6Address
from pathlib import Path
from typing import Protocol

from testbed.run.net import Network, network
from tests.lab.namespaces import wait_until
from tests.lab.peers.cable import AGENT, AGENT_ADDRESS, NODE, NODE_ADDRESS, TOPOLOGY, Ours, capture
from tests.lab.peers.timing import negotiations
from tests.lab.strongswan import Strongswan

HOME = IPv6Address("2001:db8:100::1234")
PSK = "a pre-shared key of both"
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
    """Our daemon in both hosts."""

    def __init__(self, net: Network, version: int, folder: Path) -> None:
        same = {"version": version, "home_address": str(HOME), "psk": PSK}
        node = {"host": NODE, "local": NODE_ADDRESS, "peer": AGENT_ADDRESS}
        agent = {"host": AGENT, "local": AGENT_ADDRESS, "peer": NODE_ADDRESS}
        ends = {NODE: node | same, AGENT: agent | same}
        self._programs = Ours(net, folder, "tests.lab.peers.ike_program", ends)

    def negotiate(self) -> None:
        self._programs.command(NODE, "initiate")
        self._programs.wait_for("ChildEstablished", (NODE, AGENT))

    def delete(self) -> None:
        self._programs.command(NODE, "delete")
        self._programs.wait_for("ChildDeleted", (NODE, AGENT))

    def close(self) -> None:
        self._programs.close()


PAIRS = {"strongSwan": StrongswanPair, "ours": OurPair}


def session(side: str, version: int, number: int, folder: Path) -> list[float]:
    """Return what negotiations took, one after the other, from the start of two new daemons."""
    with ExitStack() as stack:
        net = stack.enter_context(network(TOPOLOGY))
        pair: Pair = PAIRS[side](net, version, folder)
        stack.callback(pair.close)

        def once() -> None:
            time.sleep(_REST)
            pair.negotiate()
            pair.delete()

        frames = capture(net, folder, [once] * number)
    found = negotiations(frames, version)
    assert len(found) == number, f"{len(found)} of {number} negotiations were captured"
    return found
