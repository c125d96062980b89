"""Network access by IEEE 802.1X: the mobile node's first stage in place of PANA."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Event
from agents.nodes.mobile_node.access import Granted
from agents.nodes.mobile_node.supplicant import Said, Supplicant
from agents.nodes.retry import Attempts

START_PERIOD = 30.0
"""Seconds after which EAPOL-Start is sent again (IEEE 802.1X-2020 section 8.4, startPeriod)."""


class Started(Event, frozen=True):
    """The supplicant is told to send EAPOL-Start."""


class Authenticated(Event, frozen=True):
    """EAP has succeeded: the port is open."""


class Failed(Event, frozen=True):
    """EAP has failed."""

    reason: str


class LoggedOff(Event, frozen=True):
    """The supplicant has left the port."""


class Dot1xAccess:
    """A supplicant, which repeats and begins anew by itself as IEEE 802.1X has it.

    `on_granted` hears of every authentication; of one that fails `attempts` tells. It brings no
    home agent.
    """

    def __init__(
        self,
        host: Host,
        supplicant: Supplicant,
        care_of: IPv6Address,
        *,
        log: EventLog,
        attempts: Attempts,
        on_granted: Callable[[Granted], None],
    ) -> None:
        self._host = host
        self._supplicant = supplicant
        self._log = log
        self._attempts = attempts
        self._on_granted = on_granted
        self._granted = False
        self._wanted = True
        self._again = host.timer(self._ask_again)
        self.care_of = care_of
        """The address that it goes on from, of which the authenticator knows nothing."""

        self.on_confirmed: Callable[[], None] | None = None
        """Called when the address that move() gave may be used."""

        supplicant.on_said = self._hear

    def start(self) -> None:
        """Begin."""
        self.begin_anew()

    def begin_anew(self) -> None:
        """Begin, or have another authentication."""
        if not self._wanted or self.reauthenticate():
            return
        self._supplicant.prepare()
        self._log(Started(self._host.now()))
        self._supplicant.log_on()

    def ping(self) -> bool:
        """Ask for another authentication: a port gives no other sign of life."""
        return self.reauthenticate()

    def reauthenticate(self) -> bool:
        """Run EAP again; return whether that is possible now.

        A supplicant that is in sends EAPOL-Start once, and goes on as it was without an answer.
        """
        asked = self._granted and self._supplicant.reauthenticate()
        if asked:
            self._again.start(START_PERIOD)
        return asked

    def _ask_again(self) -> None:
        if self._wanted:
            self.reauthenticate()

    @property
    def authenticates(self) -> bool:
        """Whether an authentication is under way, or will be after a pause."""
        return self._wanted and not self._granted

    def terminate(self) -> bool:
        """Log off, and stay so; return whether there was a session to leave."""
        self._wanted = False
        left = self._granted and self._supplicant.log_off()
        if left:
            self._granted = False
            self._log(LoggedOff(self._host.now()))
        return left

    def move(self, care_of: IPv6Address) -> bool:
        """Go on from another address of this station, which is authorised already."""
        self.care_of = care_of
        if self.on_confirmed:
            self._host.later(self.on_confirmed)
        return self._granted

    def _hear(self, said: Said) -> None:
        now = self._host.now()
        match said:
            case Said.SUCCEEDED if self._wanted:
                self._again.stop()
                self._granted = True
                self._log(Authenticated(now))
                self._on_granted(Granted(None, None, self._supplicant.keys))
            case Said.FAILED if self._wanted:
                self._again.stop()
                self._granted = False
                reason = self._supplicant.reason or "the network refuses this host"
                self._log(Failed(now, reason))
                self._attempts.fail("802.1X", f"802.1X: {reason}")
            case _:
                pass

    def close(self) -> None:
        """Hear nothing more; the supplicant is its owner's."""
        self._again.stop()
        self._supplicant.on_said = lambda _: None
