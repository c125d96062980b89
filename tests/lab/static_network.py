"""The network of tests.lab.mobility_network with the programs of the approach `static`."""

from __future__ import annotations

import json
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from agents.approaches import static
from tests.lab.mobility_network import HOME_ADDRESS, HOME_AGENT, Network
from tests.lab.namespaces import Host, Program
from topologies.paper import TOPOLOGY


class StaticNetwork(Network):
    """Home agent, home addresses and a key are preconfigured; `nodes` mobile nodes, "mn" first.

    What is another than in the approach is in `of_home` and `of_mobile`.
    """

    def __init__(
        self,
        folder: Path,
        of_home: dict[str, object] | None = None,
        of_mobile: dict[str, object] | None = None,
        *,
        nodes: int = 1,
    ) -> None:
        super().__init__()
        self.folder = folder
        for name in ("configuration", "keys"):
            (folder / name).mkdir()
        settings = static.Settings()
        static.prepare(folder, settings, TOPOLOGY)
        home, mobile = static.compose(settings, TOPOLOGY, folder, folder)
        self.mobile_nodes = [self.mn, *map(self.add_mobile_node, range(1, nodes))]
        first = IPv6Address(HOME_ADDRESS)
        self.home_addresses = {n: str(first + i) for i, n in enumerate(self.mobile_nodes)}
        [peer] = home.configuration["preshared"]
        preshared = [
            peer | {"identity": _identity(node), "home_address": address}
            for node, address in self.home_addresses.items()
        ]
        prefix = "2001:db8:100::/64"
        home_agent = {"address": HOME_AGENT, "interface": "home", "prefix": prefix}
        changes = {"diameter_address": HOME_AGENT, "home_agent": home_agent, "preshared": preshared}
        self._home = self._write(
            "home", home.module, home.configuration | changes | (of_home or {})
        )
        self._mobile = {}
        for node, address in self.home_addresses.items():
            known: dict[str, Any] = mobile.configuration
            changes = {
                "host": node.name,
                "interface": "eth0",
                "eap": known["eap"] | {"identity": _identity(node)},
                "discovery": known["discovery"] | {"home_address": address},
            }
            configuration = known | changes | (of_mobile or {})
            self._mobile[node] = self._write(node.name, mobile.module, configuration)

    def _write(self, name: str, module: str, configuration: dict[str, Any]) -> tuple[str, str]:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(configuration))
        return module, str(path)

    def home_network(self) -> Program:
        program = self.start(self.ha, *self._home)
        program.wait_for("Ready")
        return program

    def bootstrap(self, node: Host | None = None) -> Program:
        node = node or self.mn
        return self.start(node, *self._mobile[node])


def _identity(node: Host) -> str:
    return f"{node.name}@home.test"
