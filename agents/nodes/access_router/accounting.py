"""What an access router accounts for: whose traffic has passed its access link, and how long."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.usage import Usage
from agents.diameter.dictionary import TerminationCause
from agents.diameter.eap import DiameterEapAnswer
from agents.kernel.port import KernelError, Meter
from agents.nodes.accounting import Accountant, Charge, Client, Place

_CAUSES = {
    "LOGOUT": TerminationCause.LOGOUT,
    "ADMINISTRATIVE": TerminationCause.ADMINISTRATIVE,
    "SESSION_TIMEOUT": TerminationCause.SESSION_TIMEOUT,
}
"""PANA's own (RFC 5191 section 8.9); other ends are those of a peer that is not there any more."""


@dataclass(slots=True)
class _Measured:
    """A session's address, what that had come to before, and what the session has beside.

    `known` ends with the kernel's first refusal to count: what has passed since nobody knows.
    """

    address: IPv6Address | None = None
    known: bool = True
    before: Usage = field(default_factory=Usage)
    beside: Usage = field(default_factory=Usage)


class AccessAccounting:
    """The accounting of PANA sessions, by their numbers.

    A session is counted from when its address may pass, which is before it is told so. Where an
    address has two sessions, what passes is the later one's from when that is confirmed, and the
    earlier one's again when it is over; nothing is counted twice.
    """

    def __init__(
        self, host: Host, client: Client, meter: Meter, log: EventLog, *, epoch: float
    ) -> None:
        self._meter = meter
        self._log = log
        self._charges: dict[int, Charge] = {}
        """What has been granted to sessions that are not authorised yet."""

        self._measured: dict[Hashable, _Measured] = {}
        self._at: dict[IPv6Address, list[int]] = {}
        """The sessions at an address that is counted, for the last of them."""

        self._accountant = Accountant(host, client, self._usage, log, epoch=epoch)
        self.finish = self._accountant.finish

    def grant(self, number: int, answer: DiameterEapAnswer, address: IPv6Address) -> None:
        """Know by what answer a session will be authorised, and count what passes from now on.

        What is another session's stays that until this one is confirmed.
        """
        self._charges[number] = Charge.of(answer)
        if address not in self._at:
            self._count(number, address)

    def begin(self, number: int, address: IPv6Address) -> None:
        """Account for a session that is authorised, or is so anew."""
        charge = self._charges.pop(number, None)
        if charge is not None:
            is_new = self._accountant.session(number) is None
            self._count(number, address)
            self._accountant.begin(number, charge, Place(address), from_nothing=is_new)

    def move(self, number: int, address: IPv6Address) -> None:
        """Count what passes for another address from now on."""
        if number in self._measured:
            self._count(number, address)
            self._accountant.move(number, Place(address))

    def end(self, number: int, cause: str) -> None:
        """Account for the end of a session, if it has been begun."""
        self._charges.pop(number, None)
        self._accountant.end(number, _CAUSES.get(cause, TerminationCause.LINK_BROKEN))
        if number in self._measured:
            self._give_back(number)
            del self._measured[number]

    def _count(self, number: int, address: IPv6Address) -> None:
        measured = self._measured.setdefault(number, _Measured())
        if measured.address == address or not measured.known:
            return
        if measured.address is not None:
            measured.beside = self._usage(number) or measured.beside
            self._give_back(number)
        try:
            if others := self._at.get(address):
                measured.before = self._meter.usage(address)
                other = self._measured[others[-1]]
                other.beside += measured.before.since(other.before)
            else:
                self._meter.count(address)
                measured.before = Usage()
        except KernelError as error:
            measured.known = False
            self._log.write("MeterFailed", address=address, reason=str(error))
            return
        measured.address = address
        self._at.setdefault(address, []).append(number)

    def _give_back(self, number: int) -> None:
        """Have a session's address be counted for the one from which it has taken it, if any."""
        measured = self._measured[number]
        address, measured.address = measured.address, None
        if address is None:
            return
        there = self._at[address]
        was_counted = there[-1] == number
        there.remove(number)
        try:
            if not there:
                del self._at[address]
                self._meter.forget(address)
            elif was_counted:
                heir = self._measured[there[-1]]
                heir.known = False
                heir.before = self._meter.usage(address)
                heir.known = True
        except KernelError as error:
            self._log.write("MeterFailed", address=address, reason=str(error))

    def _usage(self, number: Hashable) -> Usage | None:
        """Return what has passed for a session; None if the kernel does not tell."""
        measured = self._measured.get(number)
        if measured is None or not measured.known:
            return None
        if measured.address is None or self._at[measured.address][-1] != number:
            return measured.beside
        try:
            now = self._meter.usage(measured.address)
        except KernelError as error:
            self._log.write("MeterFailed", address=measured.address, reason=str(error))
            return None
        return measured.beside + now.since(measured.before)
