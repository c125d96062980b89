"""A kernel that only remembers: for tests and for the simulated lab."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.ike.esp import EspPair, EspSa
from agents.kernel.port import AccessLink, KernelError, SaState

_ESP = 50
Call = tuple[object, ...]


class _Recorder:
    """Keeps every call; those named in `failures` raise KernelError with the given errno."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.failures: dict[str, int] = {}

    def _record(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        if name in self.failures:
            raise KernelError(self.failures[name], f"{name}: refused as asked")

    def close(self) -> None:
        """Do nothing."""


class _FakeKernel(_Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.sas: dict[tuple[IPv6Address, int], EspSa] = {}
        self.on_sa: Callable[[SaState], None] = lambda _: None

    def warm_up(self) -> None:
        """Record the call."""
        self._record("warm_up")

    def install(self, pair: EspPair) -> None:
        """Keep both SAs and tell `on_sa` of them."""
        self._record("install", pair)
        for sa in (pair.inbound, pair.outbound):
            self.sas[sa.destination, sa.spi] = sa
            self.on_sa(_state(sa))

    def uninstall(self, pair: EspPair) -> None:
        """Forget both SAs."""
        self._record("uninstall", pair)
        for sa in (pair.inbound, pair.outbound):
            self.sas.pop((sa.destination, sa.spi), None)

    def sas_between(self, source: IPv6Address, destination: IPv6Address) -> list[SaState]:
        """Return the SAs kept from `source` to `destination`."""
        ends = (source, destination)
        return [_state(sa) for sa in self.sas.values() if (sa.source, sa.destination) == ends]

    def _forget(self, home_address: IPv6Address) -> None:
        for key, sa in tuple(self.sas.items()):
            if home_address in (sa.source, sa.destination):
                del self.sas[key]


def _state(sa: EspSa) -> SaState:
    return SaState(sa.source, sa.destination, sa.spi, _ESP, 0)


class FakeMobileNode(_FakeKernel):
    """agents.kernel.port.MobileNodeKernel without a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.home_address: IPv6Address | None = None
        self.care_of: IPv6Address | None = None
        self.tunnel_open = False

    def prepare(
        self, home_address: IPv6Address, home_agent: IPv6Address, care_of: IPv6Address
    ) -> None:
        """Keep the addresses."""
        self._record("prepare", home_address, home_agent, care_of)
        self.home_address, self.care_of = home_address, care_of

    def open_tunnel(self) -> None:
        """Keep that the tunnel is open."""
        self._record("open_tunnel")
        self.tunnel_open = True

    def close_tunnel(self) -> None:
        """Keep that the tunnel is closed."""
        self._record("close_tunnel")
        self.tunnel_open = False

    def move(self, care_of: IPv6Address) -> None:
        """Keep the new care-of address."""
        self._record("move", care_of)
        self.care_of = care_of

    def release(self) -> None:
        """Forget everything."""
        self._record("release")
        self.home_address = self.care_of = None
        self.tunnel_open = False
        self.sas.clear()


class FakeHomeAgent(_FakeKernel):
    """agents.kernel.port.HomeAgentKernel without a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.own: set[IPv6Address] = set()
        self.reached: dict[IPv6Address, IPv6Address] = {}
        self.bound: dict[IPv6Address, IPv6Address] = {}

    def prepare(self) -> None:
        """Record the call."""
        self._record("prepare")

    def owns(self, address: IPv6Address) -> bool:
        """Return whether the address is in `own`."""
        return address in self.own

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether the address is another host's."""
        return address not in self.own

    def forget(self, home_address: IPv6Address) -> None:
        """Forget the SAs of the home address."""
        self._record("forget", home_address)
        self._forget(home_address)

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Keep the way of Binding Acknowledgements."""
        self._record("reach", home_address, care_of)
        self.reached[home_address] = care_of

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""
        self._record("unreach", home_address)
        self.reached.pop(home_address, None)

    def bind(
        self, home_address: IPv6Address, care_of: IPv6Address, link_local: IPv6Address | None
    ) -> None:
        """Keep the tunnel's end."""
        self._record("bind", home_address, care_of, link_local)
        self.bound[home_address] = care_of

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind()."""
        self._record("unbind", home_address)
        self.bound.pop(home_address, None)

    def release(self) -> None:
        """Forget everything."""
        self._record("release")
        for kept in (self.reached, self.bound, self.sas):
            kept.clear()


class FakeEnforcementPoint(_Recorder):
    """agents.kernel.port.EnforcementPoint without a kernel."""

    def __init__(self, access: AccessLink) -> None:
        super().__init__()
        self.access = access
        self.closed = False
        self.authorised: set[IPv6Address] = set()
        self.pinholes: set[tuple[IPv6Address, IPv6Address, int]] = set()

    def close_access(self) -> None:
        """Keep that the filter is up, and empty."""
        self._record("close_access")
        self.closed = True
        self.authorised.clear()
        self.pinholes.clear()

    def authorise(self, address: IPv6Address) -> None:
        """Keep the address."""
        self._record("authorise", address)
        self.authorised.add(address)

    def revoke(self, address: IPv6Address) -> None:
        """Forget the address."""
        self._record("revoke", address)
        self.authorised.discard(address)

    def admit(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Keep the pinhole."""
        self._record("admit", address, destination, port)
        self.pinholes.add((address, destination, port))

    def dismiss(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Forget the pinhole."""
        self._record("dismiss", address, destination, port)
        self.pinholes.discard((address, destination, port))

    def release(self) -> None:
        """Forget everything."""
        self._record("release")
        self.closed = False
        self.authorised.clear()
        self.pinholes.clear()

    def passes(self, address: IPv6Address) -> bool:
        """Return whether payload from `address` would pass now."""
        return not self.closed or address in self.authorised


from dataclasses import replace as _replace


class _W:
    def __init__(self, l, c):
        self.l, self.c = l, c
        l.append(c)

    def close(self):
        if self.c in self.l:
            self.l.remove(self.c)


class ModelKernel:
    def __init__(self, owns=None, leads_away=None):
        self.owns_, self.leads = owns, leads_away
        self.home_address = None
        self.mn = None
        self.ha = None
        self.sa = []

    def output(self, p):
        if p.protocol == 135 and self.mn and p.source == self.home_address:
            return _replace(p, source=self.mn.care_of, home_address=p.source)
        if p.protocol == 135 and self.ha and p.destination in self.ha.reached:
            return _replace(p, destination=self.ha.reached[p.destination], routing=p.destination)
        return p

    def input(self, p):
        if p.home_address:
            return _replace(p, source=p.home_address, home_address=None)
        if p.routing:
            return _replace(p, destination=p.routing, routing=None)
        return p

    def forward(self, p, i, o):
        return p

    def admits(self, p, i):
        return True

    def intercepts(self, a):
        return bool(self.ha and a in self.ha.bound)

    def watch_sas(self, c):
        return _W(self.sa, c)

    def watch_acquires(self, c):
        return _W([], c)


class ModelMobileNode(FakeMobileNode):
    def __init__(self, kernel=None):
        super().__init__()
        self.k = kernel
        kernel.mn = self
        self.on_sa = lambda _: [c() for c in tuple(kernel.sa)]

    def prepare(self, h, a, c):
        super().prepare(h, a, c)
        self.k.home_address = h


class ModelHomeAgent(FakeHomeAgent):
    def __init__(self, kernel=None):
        super().__init__()
        kernel.ha = self
        self.k = kernel

    def owns(self, a):
        return self.k.owns_(a)

    def leads_away(self, a):
        return self.k.leads(a)


class ModelEnforcementPoint(FakeEnforcementPoint):
    def __init__(self, link, kernel=None):
        super().__init__(link)
