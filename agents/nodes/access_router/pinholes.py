"""What an access router opens for a mobile node before its authentication is over."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host, Timer
from agents.core.index import Index
from agents.core.record import Record
from agents.core.unicast import is_unicast
from agents.ike.constants import PORT as IKE_PORT
from agents.kernel.port import AccessLink, EnforcementPoint, KernelError

LIFETIME = 5.0
"""Seconds after which a pinhole closes: one round of EAP is to come, and it may be lost twice."""

MAXIMUM = 256
"""Pinholes at once."""


class _Pinhole(Record, frozen=True):
    address: IPv6Address
    home_agent: IPv6Address
    timer: Timer


class Pinholes:
    """Ways from mobile nodes to the home agents that the home AAA server named, for IKE alone.

    Each belongs to a session and closes with it, or after `lifetime` seconds. Only UDP from and to
    port 500 passes: what IKE_SA_INIT and IKE_AUTH need. The home AAA server has verified the
    mobile node by then, but who may use the network is not known yet.
    """

    def __init__(
        self,
        host: Host,
        enforcement: EnforcementPoint,
        link: AccessLink,
        log: EventLog,
        *,
        lifetime: float = LIFETIME,
    ) -> None:
        self._host = host
        self._enforcement = enforcement
        self._link = link
        self._log = log
        self._lifetime = lifetime
        self._pinholes: dict[int, _Pinhole] = {}
        self._ways = Index[int, tuple[IPv6Address, IPv6Address]]()

    def open(self, session: int, address: IPv6Address, home_agent: IPv6Address) -> bool:
        """Open a way for a session; return whether it is open."""
        if not self._is_sound(home_agent):
            self._log.write("PinholeRefused", reason=f"{home_agent} can be no home agent")
            return False
        self.close(session)
        if len(self._pinholes) >= MAXIMUM:
            self._log.write("PinholeRefused", reason=f"{MAXIMUM} are open")
            return False
        try:
            self._enforcement.admit(address, home_agent, IKE_PORT)
        except KernelError as error:
            self._log.write("PinholeRefused", reason=str(error))
            return False
        timer = self._host.timer(partial(self.close, session))
        timer.start(self._lifetime)
        self._pinholes[session] = _Pinhole(address, home_agent, timer)
        self._ways.put(session, (address, home_agent))
        self._log.write("PinholeOpened", pac=address, home_agent=home_agent)
        return True

    def _is_sound(self, home_agent: IPv6Address) -> bool:
        """Return whether an address can be a home agent's, seen from here."""
        return is_unicast(home_agent) and home_agent not in self._link.prefix

    def close(self, session: int) -> None:
        """Close the way of a session, unless another session has the same."""
        pinhole = self._pinholes.pop(session, None)
        if pinhole is None:
            return
        pinhole.timer.stop()
        self._ways.put(session, None)
        way = (pinhole.address, pinhole.home_agent)
        if self._ways.at(way):
            return
        try:
            self._enforcement.dismiss(*way, IKE_PORT)
        except KernelError as error:
            self._log.write("EnforcementFailed", reason=str(error))
            return
        self._log.write("PinholeClosed", pac=pinhole.address, home_agent=pinhole.home_agent)

    def close_all(self) -> None:
        """Close every way."""
        for session in tuple(self._pinholes):
            self.close(session)
