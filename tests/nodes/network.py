"""A network that is not there, for services that make a DatagramEndpoint."""

from __future__ import annotations

import asyncio

from agents.shell.driver import Driver


class Network:
    """Endpoints by their addresses; what is sent arrives in the loop's next round."""

    def __init__(self):
        self.endpoints = {}

    def endpoint(self, machine, local, on_event):
        return Endpoint(self, machine, local, on_event)


class Endpoint:
    """Stands in for a DatagramEndpoint."""

    def __init__(self, network, machine, local, on_event):
        self._network, self._local = network, local
        self.driver = Driver(machine, self._send, on_event)
        network.endpoints[local] = self

    def _send(self, data, destination):
        asyncio.get_running_loop().call_soon(self._deliver, data, destination)

    def _deliver(self, data, destination):
        if there := self._network.endpoints.get(destination):
            there.driver.receive(data, self._local)

    def close(self):
        self.driver.close()
        self._network.endpoints.pop(self._local, None)
