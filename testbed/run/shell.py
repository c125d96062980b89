"""Mininet's prompt in a running topology: python -m testbed.run.shell TOPOLOGY, inside a lab."""

from __future__ import annotations

import sys

import topologies
from testbed.run.net import prompt
from testbed.run.nodes import NetError


def main() -> None:
    """Build the topology and open the prompt."""
    try:
        topology = topologies.load(sys.argv[1])
        hosts = ", ".join(f"{host.name} ({host.role})" for host in topology.hosts)
        sys.stdout.write(f"{hosts}\n")
        prompt(topology)
    except (LookupError, NetError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
