"""Mininet's prompt in a running topology: python -m testbed.shell TOPOLOGY, inside a lab."""

from __future__ import annotations

import importlib
import sys

from testbed.net import NetError, network, prompt


def main() -> None:
    """Build the topology and open the prompt."""
    name = sys.argv[1]
    try:
        topology = importlib.import_module(f"topologies.{name.replace('-', '_')}").TOPOLOGY
    except (ModuleNotFoundError, AttributeError):
        sys.exit(f'there is no topology called "{name}"')
    try:
        with network(topology) as running:
            hosts = ", ".join(f"{host.name} ({host.role})" for host in topology.hosts)
            sys.stdout.write(f"{hosts}\n")
            prompt(running)
    except NetError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
