"""Two hosts on a cable, and our programs in them, forked as a run's programs are."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv6Interface
from pathlib import Path
from typing import Any

from testbed.run.capture import Capture
from testbed.run.events import LEAST_PRIORITY
from testbed.run.net import Network
from testbed.run.probe import Measurement
from testbed.run.programs import Forked
from testbed.trace.frames import Frame, read_frames
from tests.lab.namespaces import DEADLINE
from topologies.model import Host, HostRole, Interface, Link, Topology

NODE, AGENT = "node", "agent"
TOPOLOGY = Topology(
    "cable",
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


class Ours:
    """One of our programs in each of some hosts; all have said that they are ready."""

    def __init__(
        self, net: Network, folder: Path, module: str, configurations: Mapping[str, object]
    ) -> None:
        self._output, writer = os.pipe()
        self._rest = b""
        self._folder = folder
        self._programs: dict[str, Forked] = {}
        for host, configuration in configurations.items():
            path = folder / f"{host}.json"
            path.write_text(json.dumps(configuration))
            log = folder / f"{host}.log"
            self._programs[host] = Forked(net, host, module, str(path), writer, log)
        os.close(writer)
        for program in self._programs.values():
            program.wait_until_populated()
            program.go()
        self.wait_for("Ready", configurations)

    def wait_for(self, name: str, hosts: Collection[str]) -> None:
        """Wait until each of some hosts has told of an event."""
        missing, deadline = set(hosts), time.monotonic() + DEADLINE
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

    def command(self, host: str, word: str) -> None:
        """Give a command to the program in a host."""
        stdin = self._programs[host].stdin
        assert stdin
        stdin.write(word.encode() + b"\n")
        stdin.flush()

    def close(self) -> None:
        """End the programs."""
        for program in self._programs.values():
            program.kill()
            program.wait()
            if program.stdin:
                with suppress(BrokenPipeError):
                    program.stdin.close()
        os.close(self._output)


def capture(net: Network, folder: Path, work: Sequence[Callable[[], None]]) -> list[Frame]:
    """Return what goes over the cable while some things are done, one after the other."""
    Measurement(
        net, TOPOLOGY.links
    ).carry_out()  # Both know each other's link-layer address from now on.
    os.setpriority(os.PRIO_PROCESS, 0, LEAST_PRIORITY)  # This process has only to look on.
    running = Capture(net, NODE)
    for do in work:
        do()
    assert running.stop() == 0, "the capture has gaps"
    running.write(folder / "cable.pcapng")
    return read_frames(folder / "cable.pcapng")
