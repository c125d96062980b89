"""The port (agents.kernel.port) on a model of the kernel, keeping what it is asked for."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

from agents.core.record import replace
from agents.core.usage import Usage
from agents.ike.esp import EspPair, EspSa
from agents.kernel.model import Binding, HomeRegistration, ModelKernel
from agents.kernel.model_routes import ModelRoutes
from agents.kernel.model_sad import SaKey
from agents.kernel.packet import ESP, MOBILITY_HEADER
from agents.kernel.port import AccessLink, KernelError, RouteKernel, SaState

Call = tuple[object, ...]
_MOST_CALLS = 100


class _Recorder:
    """Keeps the last calls; those named in `failures` raise KernelError with the given errno."""

    def __init__(self, kernel: ModelKernel | None) -> None:
        self.kernel = kernel or ModelKernel()
        self.calls: list[Call] = []
        self.failures: dict[str, int] = {}

    def _record(self, name: str, *arguments: object) -> None:
        if len(self.calls) >= _MOST_CALLS:
            del self.calls[: _MOST_CALLS // 2]
        self.calls.append((name, *arguments))
        if name in self.failures:
            raise KernelError(self.failures[name], f"{name}: refused as asked")

    def close(self) -> None:
        """Let go of the kernel; what was set up stays."""


class ModelSecurityAssociations(_Recorder):
    """agents.kernel.port.SecurityAssociations on a model."""

    def __init__(self, kernel: ModelKernel | None = None) -> None:
        super().__init__(kernel)

    @property
    def sas(self) -> dict[SaKey, EspSa]:
        """The SAs that there are, whoever installed them."""
        return {(sa.destination, sa.spi): sa for sa in self.kernel.sad}

    def warm_up(self) -> None:
        """Record the call."""
        self._record("warm_up")

    def install(self, pair: EspPair) -> None:
        """Install both directions of `pair`; an SA with the same SPI is replaced."""
        self._record("install", pair)
        for sa in (pair.inbound, pair.outbound):
            self.kernel.sad.add(sa)

    def uninstall(self, pair: EspPair) -> None:
        """Remove both directions of `pair`."""
        self._record("uninstall", pair)
        for sa in (pair.inbound, pair.outbound):
            self.kernel.sad.remove(sa.destination, sa.spi)

    def sas_between(self, source: IPv6Address, destination: IPv6Address) -> list[SaState]:
        """Return the usable ESP SAs for Mobility Headers from `source` to `destination`."""
        return [
            SaState(sa.source, sa.destination, sa.spi, ESP, 0, sa.protocol)
            for sa in self.kernel.sad.between(source, destination)
            if sa.protocol == MOBILITY_HEADER
        ]


class ModelMobileNode(ModelSecurityAssociations):
    """agents.kernel.port.MobileNodeKernel on a model; `protected` as agents.kernel.mobility's."""

    def __init__(self, kernel: ModelKernel | None = None, *, protected: bool = True) -> None:
        super().__init__(kernel)
        self._is_protected = protected

    @property
    def home_address(self) -> IPv6Address | None:
        """The home address, once it is prepared."""
        return self.kernel.home_address

    @property
    def care_of(self) -> IPv6Address | None:
        """The care-of address in use."""
        return self.kernel.home.care_of if self.kernel.home else None

    @property
    def tunnel_open(self) -> bool:
        """Whether payload goes through the tunnel."""
        return self.kernel.home is not None and self.kernel.home.tunnel_open

    def _home(self) -> HomeRegistration:
        if self.kernel.home is None:
            raise KernelError(errno.ENOTCONN, "no home address is prepared")
        return self.kernel.home

    def prepare(
        self, home_address: IPv6Address, home_agent: IPv6Address, care_of: IPv6Address
    ) -> None:
        """Make ready for IKE and the Binding Update; a tunnel that is open already stays so."""
        self._record("prepare", home_address, home_agent, care_of)
        kernel, ends = self.kernel, (home_address, home_agent)
        if kernel.home and (kernel.home.home_address, kernel.home.home_agent) != ends:
            self._clear()
        kernel.home = HomeRegistration(*ends, care_of, self.tunnel_open)
        if not self._is_protected:
            kernel.unprotected.add(home_agent)

    def open_tunnel(self) -> None:
        """Send everything from the home address through the tunnel."""
        self._record("open_tunnel")
        self.kernel.home = replace(self._home(), tunnel_open=True)

    def close_tunnel(self) -> None:
        """Undo open_tunnel()."""
        self._record("close_tunnel")
        self.kernel.home = replace(self._home(), tunnel_open=False)

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address; the ESP SAs stay."""
        self._record("move", care_of)
        self.kernel.home = replace(self._home(), care_of=care_of)

    def go_home(self) -> None:
        """Let packets of the home address go as they are, on the home link."""
        self._record("go_home")
        home = self._home()
        self.kernel.home = replace(home, care_of=home.home_address, tunnel_open=False)

    def settle(self, care_of: IPv6Address) -> str:
        """Have the home address where `care_of` is, on the only interface."""
        self._record("settle", care_of)
        return ""

    def clear(self) -> None:
        """Remove all that was made, by a predecessor that was killed too: SAs, tunnel, address."""
        self._record("clear")
        self._clear()

    def routes(self) -> RouteKernel:
        """Return the kernel's part in route optimisation."""
        return ModelRoutes(self.kernel.routes)

    def _clear(self) -> None:
        """Leave the SAs of home agents on this host, which have another reqid in Linux."""
        self.kernel.sad.sweep(self.kernel.home_agents.isdisjoint)
        if self.kernel.home:
            self.kernel.unprotected.discard(self.kernel.home.home_agent)
        self.kernel.home = None
        ModelRoutes(self.kernel.routes).release()


class ModelHomeAgent(ModelSecurityAssociations):
    """agents.kernel.port.HomeAgentKernel on a model, for the home agent at `address`."""

    def __init__(
        self, kernel: ModelKernel | None, address: IPv6Address, *, protected: bool = True
    ) -> None:
        super().__init__(kernel)
        self.address = address
        self._is_protected = protected

    @property
    def reached(self) -> dict[IPv6Address, IPv6Address]:
        """The care-of addresses to which Binding Acknowledgements go, by home address."""
        reached = self.kernel.reached
        return {home: to for (agent, home), to in reached.items() if agent == self.address}

    @property
    def bound(self) -> dict[IPv6Address, IPv6Address]:
        """The care-of addresses to which home addresses' packets are tunnelled."""
        bound = self.kernel.bound
        return {h: b.care_of for h, b in bound.items() if b.home_agent == self.address}

    def prepare(self) -> None:
        """Serve as a home agent; nothing of a predecessor's remains."""
        self._record("prepare")
        self._clear()
        self.kernel.home_agents.add(self.address)
        if self._is_protected:
            self.kernel.unprotected.discard(self.address)
        else:
            self.kernel.unprotected.add(self.address)

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`."""
        return self.kernel.owns(address)

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether packets to `address` leave this host."""
        return self.kernel.leads_away(address)

    def forget(self, home_address: IPv6Address) -> None:
        """Remove the SAs of the home address."""
        self._record("forget", home_address)
        if home_address not in self.kernel.bound:
            self.kernel.tunnelled.of.pop(home_address, None)
        ends = self.address, home_address
        self.kernel.sad.clear(ends, ends[::-1])

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""
        self._record("reach", home_address, care_of)
        self.kernel.reached[self.address, home_address] = care_of

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""
        self._record("unreach", home_address)
        self.kernel.reached.pop((self.address, home_address), None)

    def bind(
        self, home_address: IPv6Address, care_of: IPv6Address, link_local: IPv6Address | None
    ) -> None:
        """Intercept packets to `home_address` and tunnel them to `care_of`, now or newly."""
        self._record("bind", home_address, care_of, link_local)
        if home_address not in self.kernel.bound:
            self.kernel.tunnelled.of[home_address] = Usage()
        self.kernel.bound[home_address] = Binding(self.address, care_of)

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind()."""
        self._record("unbind", home_address)
        self.kernel.bound.pop(home_address, None)

    def usage(self, home_address: IPv6Address) -> Usage | None:
        """Return what has gone through the tunnel in a home address's name since bind()."""
        if home_address in self.kernel.bound:
            return self.kernel.tunnelled.of.get(home_address)
        return self.kernel.tunnelled.of.pop(home_address, None)

    def release(self) -> None:
        """Remove all that was made, SAs too."""
        self._record("release")
        self._clear()
        self.kernel.home_agents.discard(self.address)
        self.kernel.unprotected.discard(self.address)

    def _clear(self) -> None:
        self.kernel.sad.sweep(lambda ends: self.address in ends)
        for home in self.bound:
            del self.kernel.bound[home]
        for home in self.reached:
            del self.kernel.reached[self.address, home]


class ModelCorrespondent(_Recorder):
    """agents.kernel.port.CorrespondentNodeKernel on a model, at `address`."""

    def __init__(self, kernel: ModelKernel | None, address: IPv6Address) -> None:
        super().__init__(kernel)
        self.address = address

    def prepare(self) -> None:
        """Serve as a correspondent node; nothing of a predecessor's remains."""
        self._record("prepare")
        self.release()
        self.kernel.routes.served.add(self.address)

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`."""
        return self.kernel.owns(address)

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""
        self._record("reach", home_address, care_of)
        self.kernel.routes.reached[self.address, home_address] = care_of

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""
        self._record("unreach", home_address)
        self.kernel.routes.reached.pop((self.address, home_address), None)

    def bind(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Speak to `home_address` by way of `care_of`, and hear it from there, now or newly."""
        self._record("bind", home_address, care_of)
        ends = self.address, home_address
        self.kernel.routes.bound[ends] = self.kernel.routes.reached[ends] = care_of

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind() and reach()."""
        self._record("unbind", home_address)
        for ways in (self.kernel.routes.bound, self.kernel.routes.reached):
            ways.pop((self.address, home_address), None)

    def used(self, home_address: IPv6Address) -> int:
        """Return how many packets have gone to a bound home address by way of its care-of."""
        self._record("used", home_address)
        return self.kernel.routes.used[self.address, home_address]

    def release(self) -> None:
        """Remove all that was made."""
        routes = self.kernel.routes
        routes.served.discard(self.address)
        for ends in {*routes.bound, *routes.reached}:
            if ends[0] == self.address:
                self.unbind(ends[1])


class ModelEnforcementPoint(_Recorder):
    """agents.kernel.port.EnforcementPoint on a model."""

    def __init__(self, kernel: ModelKernel | None, access: AccessLink) -> None:
        super().__init__(kernel)
        self.access = access

    @property
    def authorised(self) -> set[IPv6Address]:
        """Whose packets pass."""
        return self.kernel.filter.authorised

    @property
    def pinholes(self) -> set[tuple[IPv6Address, IPv6Address, int]]:
        """What passes beside."""
        return self.kernel.filter.pinholes

    def close_access(self) -> None:
        """Let only network access, address configuration and neighbour discovery pass."""
        self._record("close_access")
        self.kernel.filter.close(self.access)

    def authorise(self, address: IPv6Address) -> None:
        """Let the packets of `address` pass, both ways."""
        self._record("authorise", address)
        self.authorised.add(address)

    def revoke(self, address: IPv6Address) -> None:
        """Undo authorise()."""
        self._record("revoke", address)
        self.authorised.discard(address)

    def admit(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Let UDP between two hosts pass that goes to this port of either, and nothing else."""
        self._record("admit", address, destination, port)
        self.pinholes.add((address, destination, port))

    def dismiss(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Undo admit()."""
        self._record("dismiss", address, destination, port)
        self.pinholes.discard((address, destination, port))

    def release(self) -> None:
        """Remove the filter."""
        self._record("release")
        self.kernel.filter.open()

    def passes(self, address: IPv6Address) -> bool:
        """Return whether payload from `address` would pass now."""
        return self.kernel.filter.access is None or address in self.authorised


class ModelMeter(_Recorder):
    """agents.kernel.port.Meter on a model, from nothing."""

    def __init__(self, kernel: ModelKernel | None) -> None:
        super().__init__(kernel)
        self.kernel.counted.of.clear()

    def count(self, address: IPv6Address) -> None:
        """Count what passes from and to `address` from now on."""
        self._record("count", address)
        self.kernel.counted.of.setdefault(address, Usage())

    def usage(self, address: IPv6Address) -> Usage:
        """Return what has passed since count(); KernelError if it is not counted."""
        self._record("usage", address)
        if address not in self.kernel.counted.of:
            raise KernelError(errno.ENOENT, f"{address} is not counted")
        return self.kernel.counted.of[address]

    def forget(self, address: IPv6Address) -> None:
        """Count what passes from and to `address` no more."""
        self._record("forget", address)
        self.kernel.counted.of.pop(address, None)
