"""A correspondent node in its host (RFC 6275 section 9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import DatagramEndpoint, Host
from agents.kernel.port import CorrespondentNodeKernel
from agents.mip6.correspondent import CorrespondentNode
from agents.mip6.correspondent_cache import CorrespondentLimits
from agents.nodes.correspondent.settings import CorrespondentConfiguration
from agents.nodes.opening import Opening


class Correspondent:
    """Mobility Headers at its address, and the Home Address options that its kernel refuses."""

    def __init__(
        self,
        configuration: CorrespondentConfiguration,
        host: Host,
        kernel: CorrespondentNodeKernel,
        log: EventLog,
    ) -> None:
        self._host = host
        self._kernel = kernel
        kernel.prepare()
        address = IPv6Address(configuration.address)
        self._machine = CorrespondentNode(
            address,
            kernel=kernel,
            rng=host.rng,
            limits=CorrespondentLimits(lifetime=configuration.lifetime),
        )
        opened = partial(host.open_mobility_headers, address)
        self._bindings = DatagramEndpoint(host, self._machine, log.child("mip6"), opened)
        self._opening = Opening(host, self._bindings.open, log)
        self._refused = host.watch_refused(self._unknown)

    def _unknown(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        self._bindings.call(self._machine.unknown_binding, home_address, care_of, self._host.now())

    def start(self, ready: Callable[[], None]) -> None:
        """Open the socket, as soon as the address is to be had; tell when that is done."""
        self._opening.start(ready)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Forget all bindings and close the sockets; tell when that is done."""
        self._opening.close()
        self._refused.close()
        self._bindings.close()
        self._kernel.release()
        self._kernel.close()
        stopped()
