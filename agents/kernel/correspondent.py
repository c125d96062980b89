"""A correspondent node's kernel on Linux: XFRM through netlink."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

from agents.kernel import links, netlink, xfrm
from agents.kernel.mobility import (
    ACKNOWLEDGEMENT,
    HOME_TEST,
    UPDATE,
    MobilityKernel,
    carrying,
    mobility_header,
    passing,
)
from agents.kernel.netlink import NetlinkSocket, Request
from agents.kernel.port import KernelError
from agents.kernel.xfrm import Direction, Extension, MobilityState, OptionRefused, Policy, Selector

_OPTION, _ROUTING = Extension.HOME_ADDRESS_OPTION, Extension.ROUTING_TYPE_2


class ReportWatch:
    """News of packets whose Home Address option the kernel has refused, in this namespace."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.XFRM, groups=(xfrm.REPORT_GROUP,))

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when one was refused."""
        return self._socket.fileno()

    def refused(self) -> Iterator[OptionRefused]:
        """Yield those that were refused since the last call."""
        for reply in self._socket.notifications():
            if (refused := xfrm.decode_report(reply)) is not None:
                yield refused

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()


class LinuxCorrespondent(MobilityKernel):
    """A correspondent node at `address` (agents.kernel.port.CorrespondentNodeKernel).

    A Home Address option is taken in any Binding Update, and else only where there is a binding
    with the same care-of address (RFC 6275 section 9.3.1).
    """

    def __init__(self, address: IPv6Address) -> None:
        super().__init__()
        self._address = address
        self._here = IPv6Network(address)
        self._reached: set[IPv6Address] = set()
        self._bound: set[IPv6Address] = set()

    def prepare(self) -> None:
        """Serve as a correspondent node; what a predecessor that was killed has left goes."""
        self._sweep()
        state, *policies = self._open()
        self._xfrm.transact([*state.put(), *(policy.put() for policy in policies)])

    def _open(self) -> tuple[MobilityState, Policy, Policy]:
        """Return what takes anybody's Binding Updates, and lets Home Tests take the way home."""
        nowhere = xfrm.UNSPECIFIED
        return (
            MobilityState(nowhere, nowhere, _OPTION, nowhere),
            carrying(
                mobility_header(xfrm.ANYWHERE, self._here, UPDATE),
                Direction.IN,
                _OPTION,
                ends=(nowhere, nowhere),
                optional=True,
            ),
            passing(mobility_header(self._here, xfrm.ANYWHERE, HOME_TEST), Direction.OUT),
        )

    def _sweep(self) -> None:
        homes = {sa.source for sa in self._there_are(xfrm.ANYWHERE, self._here)}
        homes |= {sa.destination for sa in self._there_are(self._here, xfrm.ANYWHERE)}
        for home in homes - {xfrm.UNSPECIFIED}:
            self._xfrm.transact([*self._unbinding(home), *self._unreaching(home)])

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`; nobody is reached where no route leads."""
        try:
            return self._find(address).kind == links.LOCAL
        except KernelError:
            return False

    def _state(self, home: IPv6Address, care_of: IPv6Address) -> MobilityState:
        return MobilityState(self._address, home, _ROUTING, care_of)

    def _acknowledging(self, home: IPv6Address) -> Policy:
        acknowledgements = mobility_header(self._here, IPv6Network(home), ACKNOWLEDGEMENT)
        return carrying(acknowledgements, Direction.OUT, _ROUTING)

    def _speaking(self, home: IPv6Address) -> list[Policy]:
        there = IPv6Network(home)
        return [
            carrying(Selector(there, self._here), Direction.IN, _OPTION, optional=True),
            carrying(Selector(self._here, there), Direction.OUT, _ROUTING),
        ]

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""
        self._reached.add(home_address)
        state = self._state(home_address, care_of)
        self._xfrm.transact([*state.put(), self._acknowledging(home_address).put()])

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""
        if home_address in self._reached:
            self._xfrm.transact(self._unreaching(home_address))
            self._reached.discard(home_address)

    def _unreaching(self, home: IPv6Address) -> list[Request]:
        state = self._state(home, xfrm.UNSPECIFIED)
        return [self._acknowledging(home).remove(), state.remove()]

    def bind(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Speak to `home_address` by way of `care_of`, and hear it from there, now or newly."""
        self.reach(home_address, care_of)
        self._bound.add(home_address)
        option = MobilityState(home_address, self._address, _OPTION, care_of)
        policies = [policy.put() for policy in self._speaking(home_address)]
        self._xfrm.transact([*option.put(), *policies])

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind() and reach()."""
        if home_address in self._bound:
            self._xfrm.transact(self._unbinding(home_address))
            self._bound.discard(home_address)
        self.unreach(home_address)

    def _unbinding(self, home: IPv6Address) -> list[Request]:
        option = MobilityState(home, self._address, _OPTION, xfrm.UNSPECIFIED)
        return [*(policy.remove() for policy in self._speaking(home)), option.remove()]

    def used(self, home_address: IPv6Address) -> int:
        """Return how many packets have gone to a bound home address by way of its care-of."""
        state = self._state(home_address, xfrm.UNSPECIFIED)
        return xfrm.decode_used(self._xfrm.query(state.get()))

    def release(self) -> None:
        """Remove all that was made."""
        for home in tuple(self._reached | self._bound):
            self.unbind(home)
        state, *policies = self._open()
        self._xfrm.transact([*(policy.remove() for policy in policies), state.remove()])
